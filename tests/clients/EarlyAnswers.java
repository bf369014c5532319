// Calls on kept connections after answers that come before the body: Java's HttpClient and HttpURLConnection.
//
//   java -Dsun.net.http.retryPost=false EarlyAnswers.java http://127.0.0.1:8080 demo demo-demo-demo DEMO [ROUNDS]
//
// Each round sends a request that is refused, its body after a pause, and then a call that must be answered. Exits with 0 only if every
// call was. The property keeps HttpURLConnection from repeating a POST by itself.

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

public class EarlyAnswers {
    record Answer(String status, String text) {}

    interface Sender {
        Answer send(String method, String url, String body, int delay) throws Exception;
    }

    static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    static Answer byClient(String method, String url, String body, int delay) throws Exception {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        InputStream slow = new ByteArrayInputStream(bytes) {
            boolean waited;

            @Override
            public synchronized int read(byte[] into, int offset, int length) {
                if (!waited) {
                    pause(delay);
                    waited = true;
                }
                return super.read(into, offset, length);
            }
        };
        var publisher = HttpRequest.BodyPublishers.ofInputStream(() -> slow);
        var sized = HttpRequest.BodyPublishers.fromPublisher(publisher, bytes.length);
        var request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(20)).method(method, sized).build();
        var response = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
        return new Answer(String.valueOf(response.statusCode()), response.body());
    }

    static Answer byConnection(String method, String url, String body, int delay) throws Exception {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        var connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
        connection.setRequestMethod(method);
        connection.setDoOutput(true);
        connection.setReadTimeout(20_000);
        connection.setFixedLengthStreamingMode(bytes.length);
        try (var output = connection.getOutputStream()) {
            output.flush();
            pause(delay);
            output.write(bytes);
        }
        int status = connection.getResponseCode();
        try (var input = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            String text = input == null ? "" : new String(input.readAllBytes(), StandardCharsets.UTF_8);
            return new Answer(String.valueOf(status), text);
        }
    }

    static void pause(int milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    static Answer tried(Sender sender, String method, String url, String body, int delay) {
        try {
            return sender.send(method, url, body, delay);
        } catch (Exception error) {
            return new Answer(error.toString(), "");
        }
    }

    public static void main(String[] arguments) throws Exception {
        String base = arguments[0];
        int rounds = arguments.length > 4 ? Integer.parseInt(arguments[4]) : 25;
        String login = String.format("{\"username\":\"%s\",\"password\":\"%s\",\"organisation\":\"%s\"}", arguments[1], arguments[2], arguments[3]);
        String text = byClient("POST", base + "/v1/authentication/token", login, 0).text();
        String token = text.replaceAll(".*\"token\":\"([^\"]+)\".*", "$1");
        String show = "{\"token\":\"" + token + "\",\"access_token_identifier\":{\"authentication_code\":\"99021047380\"},\"fields_set\":\"number\"}";
        String[][] refused = {
            {"POST", "/nowhere", show, "404"},
            {"POST", "/crmapi/rest/v2/access_tokens/nonsense", show, "404"},
            {"PUT", "/v1/access_tokens/show", show, "405"},
            {"POST", "/crmapi/rest/v2/access_tokens/list", show, "405"},
            {"POST", "/v1/access_tokens/show", show.replace(token, "x"), "401"},
            {"POST", "/v1/access_tokens/create", "{\"udf_string_1\":\"" + "x".repeat(100_000) + "\"}", "413"},
            {"POST", "/docs", show, "405"},
        };
        int failed = 0;
        Sender[] senders = {EarlyAnswers::byClient, EarlyAnswers::byConnection};
        for (Sender sender : senders) {
            for (int round = 0; round < rounds; round++) {
                String[] one = refused[round % refused.length];
                Answer answer = tried(sender, one[0], base + one[1], one[2], round % 3 * 5);
                Answer next = tried(sender, "POST", base + "/v1/access_tokens/show", show, round % 2 * 5);
                if (!answer.status().equals(one[3]) || !next.status().equals("200")) {
                    failed++;
                    System.err.printf("round %d: %s %s answered %s, the next call %s%n", round, one[0], one[1], answer.status(), next.status());
                }
            }
        }
        System.out.printf("java: %d calls after early answers with each of two libraries, %d failed%n", rounds, failed);
        System.exit(failed == 0 ? 0 : 1);
    }
}
