//! The gRPC port and clients that are not ours: requests that are no calls, and answers that take the same time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use access_tokens_proto::v1::CreateAccessTokenRequest;
use access_tokens_testapp::process::Installation;
use h2::client::SendRequest;
use hyper::body::Bytes;
use prost::Message;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::on_both_databases;
use crate::processes::{BINARY, add_user, text};

const CREATE: &str = "/accesstoken.v1.AccessTokenService/CreateAccessToken";

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("connected");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    client.ready().await.expect("ready")
}

/// Sends a whole message by any method and content type. Returns the status of HTTP.
async fn send(
    client: &mut SendRequest<Bytes>,
    (method, content_type): (&str, Option<&str>),
    session: &str,
    message: &impl Message,
) -> u16 {
    let mut request = hyper::http::Request::builder().method(method).uri(format!("http://host{CREATE}"));
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let request = request.header("authorization", format!("Bearer {session}")).body(()).expect("a request");
    let (response, mut body) = client.send_request(request, false).expect("sent");
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.encoded_len()).expect("short").to_be_bytes());
    bytes.extend(message.encode_to_vec());
    // The answer may arrive before the message is sent.
    let _ = body.send_data(bytes.into(), true);
    let response = response.await.expect("an answer");
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        data.expect("data");
    }
    status
}

on_both_databases! {
    async fn a_request_that_is_no_call_writes_nothing(app) {
        let mut client = connect(app.address()).await;
        let refused = [
            ("GET", Some("application/grpc"), 405),
            ("PUT", Some("application/grpc"), 405),
            ("OPTIONS", None, 405),
            ("POST", Some("application/grpc-web+proto"), 415),
            ("POST", Some("application/grpc+json"), 415),
            ("POST", Some("text/plain"), 415),
            ("POST", Some("application/x-www-form-urlencoded"), 415),
            ("POST", None, 415),
        ];
        for (number, (method, content_type, expected)) in refused.into_iter().enumerate() {
            let code = Some(format!("code-{number}"));
            let message = CreateAccessTokenRequest { authentication_code: code.clone(), ..Default::default() };
            let status = send(&mut client, (method, content_type), app.session(), &message).await;
            assert_eq!(status, expected, "{method} {content_type:?}");
            let named = json!({"access_token_identifier": {"authentication_code": code}});
            app.refused("ShowAccessToken", named, "ACCESS_TOKEN_NOT_FOUND").await;
        }
        for (number, content_type) in ["application/grpc", "Application/GRPC+Proto; x=y"].into_iter().enumerate() {
            let code = Some(format!("good-{number}"));
            let message = CreateAccessTokenRequest { authentication_code: code.clone(), ..Default::default() };
            assert_eq!(send(&mut client, ("POST", Some(content_type)), app.session(), &message).await, 200);
            app.ok("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": code}})).await;
        }
    }
}

/// Starts a receiver that accepts all notifications.
async fn receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4_096];
                while matches!(stream.read(&mut bytes).await, Ok(1..)) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            });
        }
    });
    address
}

/// Calls ForgotPassCode for a token that exists, one that does not, and one that is not effective, in turn.
async fn forgotten_pass_codes_take_the_same_time(url: &str) {
    const CALLS: usize = 2_000;
    const MAX_DIFFERENCE: f64 = 0.02;
    let directory = TempDir::new().expect("a directory");
    let installation = Installation::new(BINARY, directory.path(), url)
        .with("ACCESS_TOKENS__NOTIFICATIONS__WEBHOOK", &format!("http://{}/", receiver().await))
        .with("ACCESS_TOKENS__NOTIFICATIONS__SECRET", "0123456789abcdef0123456789abcdef");
    if !url.starts_with("sqlite:") {
        assert!(
            installation.run(&["keys", "init"]).status.success() && installation.run(&["migrate"]).status.success()
        );
    }
    add_user(&installation);
    let records = [
        json!({"organisation": {"definition": {"issue": {"burst": 1_000, "cooldown_seconds": 0, "per_day": 10_000}}}}),
        json!({"access_token": {"id": "good", "number": "AT1", "authentication_code": "good", "identifier": "good"}}),
        json!({"access_token": {"id": "off", "number": "AT2", "authentication_code": "off", "identifier": "off", "life_cycle_state": "NOT_EFFECTIVE"}}),
    ];
    let lines = records.iter().map(|record| format!("{record}\n")).collect::<String>();
    let imported = installation.run_with_input(&["import", "--organisation", "DEMO", "-"], &lines);
    assert!(imported.status.success(), "{}", text(&imported));
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let client = server.client();
    let session = client.login("DEMO", "ops", "correct horse", None).await.expect("logged in");
    let client = client.with_session(&session);
    let names = ["good", "nobody", "off"];
    let mut times = names.map(|_| Vec::with_capacity(CALLS));
    for _ in 0..CALLS {
        for (name, times) in names.iter().zip(&mut times) {
            let began = Instant::now();
            client.ok("ForgotPassCode", json!({"identifier": name})).await;
            times.push(began.elapsed());
        }
    }
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[CALLS / 2].as_secs_f64()
    });
    println!("medians of {names:?} in seconds: {medians:?}");
    let (least, most) = (medians.into_iter().fold(f64::MAX, f64::min), medians.into_iter().fold(0.0, f64::max));
    assert!(most <= least * (1.0 + MAX_DIFFERENCE), "{medians:?}");
    assert!(server.terminate().1 < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of minutes: scripts/soak runs it"]
async fn forgotten_pass_codes_take_the_same_time_on_sqlite() {
    forgotten_pass_codes_take_the_same_time("sqlite://access-tokens.db").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of minutes: scripts/soak runs it"]
async fn forgotten_pass_codes_take_the_same_time_on_postgres() {
    let url = tokio::task::block_in_place(access_tokens_testkit::postgres::create_database);
    forgotten_pass_codes_take_the_same_time(&url).await;
}
