//! An import of a client that puts each record into a DATA frame of its own and does not wait.

use std::future::poll_fn;

use access_tokens_proto::v1::directory_service_server::SERVICE_NAME;
use access_tokens_proto::v1::import_directory_request::Record;
use access_tokens_proto::v1::{AccessTokenRecord, Country, ImportDirectoryRequest, ImportDirectoryResponse};
use access_tokens_testapp::TestApp;
use futures::future::join_all;
use h2::client::SendRequest;
use hyper::body::Bytes;
use hyper::http::Request;
use prost::Message;
use tokio::net::TcpStream;

use crate::on_both_databases;

on_both_databases! {
    /// The service does not read while it writes a batch. It must not treat the frames that wait meanwhile as an attack.
    async fn small_records_in_frames_of_their_own_go_in(app) {
        let connection = connect(&app).await;
        let records: Vec<_> = (0..10_000).map(|n| token(&format!("{n:07}"))).collect();
        assert_eq!(import(&app, &connection, &records).await.created, 10_000);
    }

    /// The smallest possible records, and several imports on one connection.
    async fn imports_beside_each_other_on_one_connection_go_in(app) {
        let connection = connect(&app).await;
        let records: Vec<_> = (0..10_000).map(|n| country(n % 10)).collect();
        assert_eq!(import(&app, &connection, &records).await.unchanged, 9_990);
        let imports = (0..4).map(|place| {
            let (app, connection) = (&app, connection.clone());
            let records: Vec<_> = (0..2_500).map(|n| token(&format!("{place}/{n:05}"))).collect();
            async move { import(app, &connection, &records).await.created }
        });
        assert_eq!(join_all(imports).await, [2_500; 4]);
    }
}

fn token(code: &str) -> ImportDirectoryRequest {
    let token = AccessTokenRecord {
        number: Some(format!("N{code}")),
        authentication_code: Some(code.to_owned()),
        ..AccessTokenRecord::default()
    };
    ImportDirectoryRequest { record: Some(Record::AccessToken(token)), ..ImportDirectoryRequest::default() }
}

fn country(id: u32) -> ImportDirectoryRequest {
    let country = Country { id: id.to_string(), ..Country::default() };
    ImportDirectoryRequest { record: Some(Record::Country(country)), ..ImportDirectoryRequest::default() }
}

async fn connect(app: &TestApp) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(app.address()).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    // An error of the connection is an error of one of its calls too.
    tokio::spawn(connection);
    client
}

/// Sends each record as soon as the windows of the server allow it.
async fn import(
    app: &TestApp,
    connection: &SendRequest<Bytes>,
    records: &[ImportDirectoryRequest],
) -> ImportDirectoryResponse {
    let request = Request::post(format!("http://localhost/{SERVICE_NAME}/ImportDirectory"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", app.session()))
        .body(())
        .expect("a request");
    let mut connection = connection.clone().ready().await.expect("a connection");
    let (answer, mut body) = connection.send_request(request, false).expect("a stream");
    for record in records {
        let message = record.encode_to_vec();
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).expect("a length").to_be_bytes());
        frame.extend(message);
        body.reserve_capacity(frame.len());
        while body.capacity() < frame.len() {
            poll_fn(|context| body.poll_capacity(context)).await.expect("a stream").expect("a window");
        }
        body.send_data(frame.into(), false).expect("sent");
    }
    body.send_data(Bytes::new(), true).expect("sent");
    let mut answer = answer.await.expect("an answer").into_body();
    let mut message = Vec::new();
    while let Some(data) = answer.data().await {
        let data = data.expect("data");
        answer.flow_control().release_capacity(data.len()).expect("read");
        message.extend(data);
    }
    let trailers = answer.trailers().await.expect("read").expect("trailers");
    assert_eq!(trailers["grpc-status"], "0", "{trailers:?}");
    ImportDirectoryResponse::decode(&message[5..]).expect("an answer")
}
