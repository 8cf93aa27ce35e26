// Java's HttpClient does what a plan says (plan.py tells what a plan is). One file, run from its source: no library for JSON.

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
    private static Map<?, ?> plan;
    private static HttpClient client;

    public static void main(String[] arguments) throws Exception {
        String text = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        plan = (Map<?, ?>) new Json(text).value();
        client = client();
        Map<String, Object> results = new LinkedHashMap<>();
        for (Object each : (List<?>) plan.get("steps")) {
            Map<?, ?> step = (Map<?, ?>) each;
            Object result;
            try {
                result = perform(step);
            } catch (Exception error) {
                result = Map.of("error", described(error));
            }
            results.put((String) step.get("name"), result);
        }
        System.out.println(Json.of(results));
        System.exit(0);
    }

    private static String described(Exception error) {
        if (error.getCause() instanceof WebSocketHandshakeException refused && refused.getResponse() != null) {
            HttpResponse<?> answer = refused.getResponse();
            return error + ", answered " + answer.statusCode() + " " + answer.headers().map() + " " + answer.body();
        }
        return error.toString();
    }

    private static HttpClient client() throws Exception {
        HttpClient.Version version = "2".equals(plan.get("version")) ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1;
        HttpClient.Builder builder = HttpClient.newBuilder().version(version).connectTimeout(Duration.ofSeconds(60));
        if (plan.get("environment") != null) {
            // The system properties that the environment has set (JAVA_TOOL_OPTIONS).
            return builder.proxy(ProxySelector.getDefault()).build();
        }
        if (plan.get("proxy") instanceof String proxy) {
            URI at = URI.create(proxy);
            builder.proxy(ProxySelector.of(new InetSocketAddress(at.getHost(), at.getPort())));
        } else {
            builder.proxy(HttpClient.Builder.NO_PROXY);
        }
        if (plan.get("ca") instanceof String ca) {
            builder.sslContext(trusting(Path.of(ca)));
        }
        return builder.build();
    }

    private static SSLContext trusting(Path file) throws Exception {
        KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
        roots.load(null, null);
        try (InputStream pem = Files.newInputStream(file)) {
            roots.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(roots);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    private static Object perform(Map<?, ?> step) throws Exception {
        return switch ((String) step.get("kind")) {
            case "events" -> events(step);
            case "websocket" -> webSocket(step);
            default -> request(step);
        };
    }

    private static HttpRequest asked(Map<?, ?> step) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create((String) step.get("url"))).timeout(Duration.ofSeconds(60));
        if (step.get("fields") instanceof List<?> fields) {
            for (Object field : fields) {
                String name = (String) ((List<?>) field).get(0);
                if (name.equals("expect")) {
                    request.expectContinue(true);
                } else {
                    request.header(name, (String) ((List<?>) field).get(1));
                }
            }
        }
        if (plan.get("authorization") instanceof String authorization) {
            request.header("authorization", authorization);
        }
        HttpRequest.BodyPublisher content = BodyPublishers.noBody();
        if (step.get("content") instanceof Map<?, ?> given) {
            content = given.get("text") instanceof String text
                ? BodyPublishers.ofString(text)
                : BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(octets(step)));
        }
        return request.method((String) step.get("method"), content).build();
    }

    private static byte[] octets(Map<?, ?> step) {
        byte[] octets = new byte[((Long) ((Map<?, ?>) step.get("content")).get("length")).intValue()];
        for (int at = 0; at < octets.length; at++) {
            octets[at] = (byte) (at % 16384 % 251);
        }
        return octets;
    }

    private static Object request(Map<?, ?> step) throws Exception {
        HttpResponse<byte[]> answer = client.send(asked(step), BodyHandlers.ofByteArray());
        List<Object> fields = new ArrayList<>();
        answer.headers().map().forEach((name, values) -> values.forEach(value -> {
            if (!name.startsWith(":")) {
                fields.add(List.of(name, value));
            }
        }));
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("status", answer.statusCode());
        told.put("fields", fields);
        told.put("content", shown(answer.body()));
        told.put("version", answer.version() == HttpClient.Version.HTTP_2 ? "2" : "1.1");
        return told;
    }

    private static String shown(byte[] content) throws Exception {
        String text = new String(content, StandardCharsets.UTF_8);
        if (Arrays.equals(text.getBytes(StandardCharsets.UTF_8), content)) {
            return text;
        }
        return "sha256 " + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    }

    private static Object events(Map<?, ?> step) throws Exception {
        HttpResponse<Stream<String>> answer = client.send(asked(step), BodyHandlers.ofLines());
        List<String> seen = new ArrayList<>();
        answer.body().filter(line -> line.startsWith("data:")).forEach(line -> {
            seen.add(line);
            Map<String, Object> heard = Map.of("url", step.get("heard"), "method", "POST");
            try {
                client.send(asked(heard), BodyHandlers.discarding());
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        });
        return Map.of("status", answer.statusCode(), "events", seen);
    }

    private static Object webSocket(Map<?, ?> step) throws Exception {
        LinkedBlockingQueue<Object> came = new LinkedBlockingQueue<>();
        // It opens a tunnel for a WebSocket, but takes a connection that is there to ask the same proxy in absolute form, and asks
        // on that in origin form: as if the proxy were the API.
        WebSocket.Builder builder = client().newWebSocketBuilder().subprotocols("echo");
        if (plan.get("authorization") instanceof String authorization) {
            builder.header("authorization", authorization);
        }
        URI url = URI.create(((String) step.get("url")).replaceFirst("http", "ws"));
        WebSocket socket = builder.buildAsync(url, new Listening(came)).get(60, TimeUnit.SECONDS);
        List<Object> seen = new ArrayList<>();
        for (Object message : (List<?>) step.get("messages")) {
            socket.sendText((String) message, true).get(60, TimeUnit.SECONDS);
            seen.add(came.poll(60, TimeUnit.SECONDS));
        }
        byte[] large = octets(step);
        socket.sendBinary(ByteBuffer.wrap(large), true).get(60, TimeUnit.SECONDS);
        boolean same = Arrays.equals(large, (byte[]) came.poll(60, TimeUnit.SECONDS));
        socket.sendPing(ByteBuffer.allocate(0)).get(60, TimeUnit.SECONDS);
        boolean answered = "pong".equals(came.poll(60, TimeUnit.SECONDS));
        socket.sendText("close", true).get(60, TimeUnit.SECONDS);
        Object close = came.poll(60, TimeUnit.SECONDS);
        return Map.of("protocol", socket.getSubprotocol(), "messages", seen, "large", same, "ping", answered, "close", close);
    }

    /** Puts whole messages, pongs and the code of the close into a queue. */
    private record Listening(LinkedBlockingQueue<Object> came, StringBuilder text, java.io.ByteArrayOutputStream octets)
            implements WebSocket.Listener {
        Listening(LinkedBlockingQueue<Object> came) {
            this(came, new StringBuilder(), new java.io.ByteArrayOutputStream());
        }

        @Override
        public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
            text.append(part);
            if (last) {
                came.add(text.toString());
                text.setLength(0);
            }
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer part, boolean last) {
            byte[] some = new byte[part.remaining()];
            part.get(some);
            octets.writeBytes(some);
            if (last) {
                came.add(octets.toByteArray());
                octets.reset();
            }
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onPong(WebSocket socket, ByteBuffer message) {
            came.add("pong");
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            came.add(code);
            return CompletableFuture.completedFuture(null);
        }

        @Override
        public void onError(WebSocket socket, Throwable error) {
            came.add(error.toString());
        }
    }

    /** As much of JSON as plans and results need. */
    private static final class Json {
        private final String text;
        private int at;

        Json(String text) {
            this.text = text;
        }

        Object value() {
            skip();
            char first = text.charAt(at);
            if (first == '{') {
                Map<String, Object> members = new LinkedHashMap<>();
                while (next('}')) {
                    String name = string();
                    skip();
                    at++;
                    members.put(name, value());
                }
                return members;
            }
            if (first == '[') {
                List<Object> items = new ArrayList<>();
                while (next(']')) {
                    items.add(value());
                }
                return items;
            }
            if (first == '"') {
                return string();
            }
            int begin = at;
            while (at < text.length() && ",]} \n".indexOf(text.charAt(at)) < 0) {
                at++;
            }
            String word = text.substring(begin, at);
            return switch (word) {
                case "null" -> null;
                case "true" -> Boolean.TRUE;
                case "false" -> Boolean.FALSE;
                default -> Long.valueOf(word);
            };
        }

        /** Whether another member comes; steps over what opens, separates and closes. */
        private boolean next(char end) {
            skip();
            if (text.charAt(at) != end) {
                at++;
                skip();
            }
            if (text.charAt(at) != end) {
                return true;
            }
            at++;
            return false;
        }

        private String string() {
            skip();
            StringBuilder found = new StringBuilder();
            for (at++; text.charAt(at) != '"'; at++) {
                if (text.charAt(at) != '\\') {
                    found.append(text.charAt(at));
                    continue;
                }
                char escaped = text.charAt(++at);
                if (escaped == 'u') {
                    found.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
                    at += 4;
                } else {
                    int known = "nrtbf".indexOf(escaped);
                    found.append(known < 0 ? escaped : "\n\r\t\b\f".charAt(known));
                }
            }
            at++;
            skip();
            return found.toString();
        }

        private void skip() {
            while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
                at++;
            }
        }

        static String of(Object value) {
            if (value instanceof Map<?, ?> members) {
                return members.entrySet().stream().map(member -> of(member.getKey()) + ":" + of(member.getValue()))
                    .collect(java.util.stream.Collectors.joining(",", "{", "}"));
            }
            if (value instanceof List<?> items) {
                return items.stream().map(Json::of).collect(java.util.stream.Collectors.joining(",", "[", "]"));
            }
            if (value instanceof String text) {
                StringBuilder quoted = new StringBuilder("\"");
                for (char c : text.toCharArray()) {
                    if (c < ' ' || c == '"' || c == '\\' || c > '~') {
                        quoted.append(String.format("\\u%04x", (int) c));
                    } else {
                        quoted.append(c);
                    }
                }
                return quoted.append('"').toString();
            }
            return String.valueOf(value);
        }
    }
}
