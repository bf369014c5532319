<?php
// Calls on one kept connection after answers that come before the body: PHP's cURL.
//
//   php early_answers.php http://127.0.0.1:8080 demo demo-demo-demo DEMO [ROUNDS]
//
// Each round sends a request that is refused, its body after a pause, and then a call that must be answered. Exits with 0 only if
// every call was.

declare(strict_types=1);
[, $base, $username, $password, $organisation] = $argv;
$rounds = (int) ($argv[5] ?? 25);
$curl = curl_init();

/** The HTTP status, and the body. The cURL handle keeps its connection. */
function send(CurlHandle $curl, string $method, string $url, array $body, int $delay, bool $expect): array
{
    $text = json_encode($body);
    $waited = false;
    curl_reset($curl);
    curl_setopt_array($curl, [
        CURLOPT_URL => $url,
        CURLOPT_UPLOAD => true,
        CURLOPT_CUSTOMREQUEST => $method,
        CURLOPT_INFILESIZE => strlen($text),
        CURLOPT_HTTPHEADER => ['Content-Type: application/json', $expect ? 'Expect: 100-continue' : 'Expect:'],
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 20,
        CURLOPT_READFUNCTION => function ($curl, $stream, int $length) use (&$text, &$waited, $delay) {
            if (!$waited) {
                usleep($delay * 1000);
                $waited = true;
            }
            $part = substr($text, 0, $length);
            $text = substr($text, strlen($part));
            return $part;
        },
    ]);
    $answer = curl_exec($curl);
    $status = $answer === false ? curl_error($curl) : curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    return [$status, (string) $answer];
}

[, $login] = send($curl, 'POST', "$base/v1/authentication/token", compact('username', 'password', 'organisation'), 0, false);
$token = json_decode($login, true)['data']['token'];
$show = ['token' => $token, 'access_token_identifier' => ['authentication_code' => '99021047380'], 'fields_set' => 'number'];
$refused = [
    ['POST', '/nowhere', $show, 404],
    ['POST', '/crmapi/rest/v2/access_tokens/nonsense', $show, 404],
    ['PUT', '/v1/access_tokens/show', $show, 405],
    ['POST', '/crmapi/rest/v2/access_tokens/list', $show, 405],
    ['POST', '/v1/access_tokens/show', ['token' => 'x'] + $show, 401],
    ['POST', '/v1/access_tokens/create', ['token' => $token, 'udf_string_1' => str_repeat('x', 100_000)], 413],
    ['POST', '/docs', $show, 405],
];
$failed = 0;
for ($round = 0; $round < $rounds; $round++) {
    [$method, $path, $body, $status] = $refused[$round % count($refused)];
    [$answered] = send($curl, $method, $base . $path, $body, $round % 3 * 5, $round % 5 === 4);
    [$next] = send($curl, 'POST', "$base/v1/access_tokens/show", $show, $round % 2 * 5, false);
    if ($answered !== $status || $next !== 200) {
        $failed++;
        fwrite(STDERR, "round $round: $method $path answered $answered, the next call $next\n");
    }
}
// Spellings of old PHP clients.
$legacy = "$base//crmapi/rest/v2/access_tokens";
$spelled = [
    ["$legacy//show", ['token' => $token, 'access_token_identifier' => ['authentication_code' => '99021047380', 'identifier' => '', 'pass_code' => '']]],
    ["$base/crmapi/rest/v2/access%5Ftokens/create", ['token' => $token, 'identifier' => '', 'pass_code' => '', 'udf_string_1' => '']],
    ["$base/crmapi/rest/v2/authentication/token/release?token=$token", []],
];
foreach ($spelled as [$url, $body]) {
    [$status, $answer] = send($curl, 'POST', $url, $body, 0, false);
    if ($status !== 200 || json_decode($answer, true)['status']['code'] !== 'OK') {
        $failed++;
        fwrite(STDERR, "$url answered $status $answer\n");
    }
}
echo "php: $rounds calls after early answers and " . count($spelled) . " old spellings, $failed failed\n";
exit($failed ? 1 : 0);
