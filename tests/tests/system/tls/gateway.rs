//! The stand-alone gateway before a service that encrypts.

use access_tokens_testkit::http::HttpClient;

use super::*;

const GATEWAY: &str = "spiffe://example.com/gateway";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_reaches_a_service_whose_authority_it_knows() {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    put(directory.path(), "authority.pem", &authority.pem());
    put(directory.path(), "other.pem", &Authority::new().pem());
    authority.client(GATEWAY, "gateway").put(directory.path(), "gateway");
    // The service identifies the gateway by its certificate, as a client with all permissions.
    let identity = format!(r#"[{{ subject = "{GATEWAY}", organisation = "DEMO", user = "ops" }}]"#);
    let place = encrypted(&directory, &authority.server(LOOPBACK))
        .with("ACCESS_TOKENS__GRPC__TLS__CLIENT_CA", "authority.pem")
        .with("ACCESS_TOKENS__GRPC__TLS__CLIENT_AUTH", "required")
        .with("ACCESS_TOKENS__GRPC__TLS__IDENTITIES", &identity);
    let server = place.start(&["serve", "--set", "http.listen="]);
    place.wait_until_ready();
    add_user(&place);

    let upstream = format!("https://{}", server.address());
    let login = json!({"username": "ops", "password": PASSWORD, "organisation": "DEMO"}).to_string();
    let gateway = async |settings: &[&str]| {
        let place = sqlite(&directory);
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let running =
            place.start(&["gateway", "--upstream", &upstream].into_iter().chain(settings).collect::<Vec<_>>());
        place.wait_until_listening();
        let answer = HttpClient::new(running.http_address(), "").post_text("authentication/token", &login).await;
        (running, answer, place)
    };
    let shown = ["gateway.upstream.certificate=gateway.pem", "gateway.upstream.key=gateway.key"];
    let known = "gateway.upstream.ca=authority.pem";

    let (running, answer, _) = gateway(&[&shown[..], &[known]].concat()).await;
    let session = answer.data()["token"].as_str().expect("a token").to_owned();
    let http = HttpClient::new(running.http_address(), &session);
    http.post("access_tokens/create", json!({})).await.data();
    // A call without a session does not have the permissions of the gateway.
    for target in ["access_tokens/show", "access_tokens/create"] {
        let target = http.target(target);
        http.send("POST", &target, &[], "{}").await.refused("INVALID_TOKEN");
    }
    let foreign = [&shown[..], &["gateway.upstream.ca=other.pem"]].concat();
    for (settings, cause) in [(&[known][..], ""), (&shown, "UnknownIssuer"), (&foreign, "UnknownIssuer")] {
        let (running, answer, place) = gateway(settings).await;
        assert_eq!(answer.reason(), "DATABASE_UNAVAILABLE", "{settings:?}: {}", answer.text);
        for _ in 0..3 {
            HttpClient::new(running.http_address(), "").post_text("authentication/token", &login).await;
        }
        // The cause is in the log, once a minute.
        let log = place.log();
        let told: Vec<_> = log.lines().filter(|line| line.contains("calls do not reach the service")).collect();
        assert!(told.len() == 1 && told[0].contains(cause), "{settings:?}: {log}");
        assert!(!log.contains(PASSWORD), "{log}");
    }
    let refused = place.run(&["gateway", "--upstream", &upstream, "--set", "gateway.upstream.ca=nowhere.pem"]);
    assert!(text(&refused).contains("nowhere.pem cannot be read"), "{}", text(&refused));
}
