<?php
// A client as PHP sites have it: the cURL extension, a session that is kept and renewed when it has ended.
//
//   php client.php http://127.0.0.1:8080 demo demo-demo-demo DEMO [API_KEY]
//
// Exits with 0 only if every answer is the expected one.

declare(strict_types=1);
set_error_handler(fn ($level, $message, $file, $line) => throw new ErrorException($message, 0, $level, $file, $line));

class CrmError extends Exception
{
    public function __construct(public readonly string $reason, string $message)
    {
        parent::__construct("$reason: $message");
    }
}

class Crm
{
    private const RENEW = 'COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION';
    public string $token = '';
    public int $logins = 0;

    public function __construct(private string $host, private array $credentials)
    {
    }

    public function logIn(): void
    {
        $this->token = $this->post('authentication/token', $this->credentials)['token'];
        $this->logins++;
    }

    public function logInWithKey(string $key): void
    {
        // The key is the user name, and there is no password.
        $this->token = $this->post('authentication/web_api_key/token', new stdClass(), [CURLOPT_USERPWD => "$key:"])['token'];
    }

    /** Calls a method by POST, once more if the session has ended. */
    public function call(string $method, array $parameters): mixed
    {
        return $this->renewing(fn () => $this->post($method, ['token' => $this->token] + $parameters));
    }

    /** Calls a method by GET. */
    public function query(string $method, array $parameters): mixed
    {
        return $this->renewing(function () use ($method, $parameters) {
            $query = http_build_query(['token' => $this->token] + $parameters);
            return $this->send("$method?$query", []);
        });
    }

    private function renewing(callable $call): mixed
    {
        try {
            return $call();
        } catch (CrmError $error) {
            if ($error->reason !== self::RENEW) {
                throw $error;
            }
            $this->logIn();
            return $call();
        }
    }

    private function post(string $method, array|object $body, array $options = []): mixed
    {
        $fields = [CURLOPT_POST => true, CURLOPT_POSTFIELDS => json_encode($body, JSON_THROW_ON_ERROR)];
        return $this->send($method, $fields + $options);
    }

    private function send(string $path, array $options): mixed
    {
        $curl = curl_init("$this->host/crmapi/rest/v2/$path");
        // Anything but 200 is a failure of the line to such a client.
        curl_setopt_array($curl, $options + [CURLOPT_RETURNTRANSFER => true, CURLOPT_FAILONERROR => true, CURLOPT_TIMEOUT => 30]);
        $text = curl_exec($curl);
        if ($text === false) {
            throw new RuntimeException(curl_error($curl));
        }
        $answer = json_decode($text, true, 512, JSON_THROW_ON_ERROR);
        $status = $answer['status'];
        if ($status['code'] !== 'OK') {
            throw new CrmError($status['code'], trim("{$status['message']} {$status['description']}"));
        }
        return $answer['data'] ?? null;
    }
}

function expect(mixed $expected, mixed $found, string $what): void
{
    if ($expected !== $found) {
        throw new RuntimeException("$what: expected " . json_encode($expected) . ', found ' . json_encode($found));
    }
}

function expectError(string $reason, callable $call): void
{
    try {
        $call();
    } catch (CrmError $error) {
        expect("COM.CRM.EXCEPTION.ACCESSTOKENS.{$reason}EXCEPTION", $error->reason, 'the error');
        return;
    }
    throw new RuntimeException("there was no error, but should be $reason");
}

[, $host, $username, $password, $organisation] = $argv;
$key = $argv[5] ?? '';
$credentials = compact('username', 'password', 'organisation');
$crm = new Crm($host, $credentials);
$crm->logIn();
expectError('INVALIDLOGIN', fn () => (new Crm($host, ['password' => 'wrong'] + $credentials))->logIn());

$card = ['access_token_identifier' => ['authentication_code' => '99021047380']];
expect('AT0000000671', $crm->call('access_tokens/show', $card)['number'], 'the number of the card');

$listed = $crm->query('access_tokens/list', ['accounts_receivable_identifier' => 'number=ACR001018', 'fields_set' => 'number,verified_date']);
expect(['number' => 'ACT0000000231', 'verified_date' => null], $listed[0], 'the first token of the account');

$code = (int) (hrtime(true) / 1000);
$created = $crm->call('access_tokens/create', [
    'authentication_code' => $code, // A number, as such clients send it.
    'identifier' => "php-$code",
    'pass_code' => 'p@ss wörd',
    'accounts_receivable_identifier' => ['number' => 'ACR000783'],
    'udf_string_1' => 'one',
    'udf_string_2' => 'two',
]);
expect((string) $code, $created['authentication_code'], 'the code');
expect(['EFFECTIVE', 'Rose'], [$created['life_cycle_state'], $created['accounts_receivable']['account_owner']['first_name']], 'the state and the owner');
expectError('AUTHENTICATIONCODEALREADYEXISTS', fn () => $crm->call('access_tokens/create', ['authentication_code' => $code]));

$login = ['access_token_identifier' => ['identifier' => "php-$code", 'pass_code' => 'p@ss wörd']];
$updated = $crm->call('access_tokens/update', $login + ['udf_string_1' => null, 'fields_set' => 'udf_string_1,udf_string_2']);
expect(['udf_string_1' => null, 'udf_string_2' => 'two'], $updated, 'null clears, absent stays');

// Somebody ends the session. The next call gets a new one, and nobody notices.
$crm->call('authentication/token/release', []);
expect($created['number'], $crm->call('access_tokens/show', $login + ['fields_set' => 'number'])['number'], 'the number after renewal');
expect(2, $crm->logins, 'the number of logins');
$crm->token = '641070EA9DF042E48CDA1B6414ACABC5';
expect(1, count($crm->query('access_tokens/get_not_associated', ['number' => 1])), 'the tokens without an owner');
expect(3, $crm->logins, 'the number of logins');

$named = ['access_token_identifier' => ['number' => $created['number']]];
expect('NOT_EFFECTIVE', $crm->call('access_tokens/set_as_not_effective', $named)['life_cycle_state'], 'the state');
expectError('WRONGLIFECYCLESTATE', fn () => $crm->call('access_tokens/generate_otp', $named));
expect('EFFECTIVE', $crm->call('access_tokens/set_as_effective', $named)['life_cycle_state'], 'the state');
expect(6, strlen($crm->call('access_tokens/generate_otp', $named)['one_time_password']), 'the length of the password');

if ($key !== '') {
    $crm->logInWithKey($key);
    expect($created['number'], $crm->call('access_tokens/show', $named)['number'], 'the number by API key');
}
echo "php: the client works unchanged\n";
