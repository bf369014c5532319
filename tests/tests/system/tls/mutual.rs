//! Clients with a certificate.

use super::*;

const TILL: &str = "spiffe://example.com/till";
const IDENTITIES: &str = r#"[
    { subject = "spiffe://example.com/till", organisation = "DEMO", user = "till" },
    { subject = "CN=back office", organisation = "DEMO", user = "ops" },
    { subject = "spiffe://example.com/gone", organisation = "DEMO", user = "gone" },
]"#;

/// Returns an installation whose servers request certificates of an authority of clients.
fn mutual(directory: &TempDir, pair: &Pair, clients: &str) -> Installation {
    put(directory.path(), "clients.pem", clients);
    encrypted(directory, pair)
        .with("ACCESS_TOKENS__GRPC__TLS__CLIENT_CA", "clients.pem")
        .with("ACCESS_TOKENS__GRPC__TLS__IDENTITIES", &IDENTITIES.replace('\n', ""))
}

/// Adds a user with these permissions.
fn add_till(installation: &Installation, permissions: &str) {
    let add = ["user", "add", "--organisation", "DEMO", "--username", "till", "--password-stdin", "--permissions"];
    let added = installation.run_with_input(&[&add[..], &[permissions]].concat(), "staple battery");
    assert!(added.status.success(), "{}", text(&added));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_stands_for_its_user_where_no_session_is_sent() {
    let (directory, [servers, clients]) = (TempDir::new().expect("a directory"), [(); 2].map(|()| Authority::new()));
    let installation = mutual(&directory, &servers.server(LOOPBACK), &clients.pem());
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    add_user(&installation);
    add_till(&installation, "access_tokens.read");
    let over = async |shown: Option<&Pair>| client(server.address(), trust(&servers.pem(), shown)).await;

    let till = over(Some(&clients.client(TILL, "back office"))).await;
    till.ok("ListClassifications", json!({})).await;
    let create = json!({"fields_set": "id"});
    till.refused("CreateAccessToken", create.clone(), "PERMISSION_DENIED").await;
    let office = over(Some(&clients.client("spiffe://example.com/office", "back office"))).await;
    office.ok("CreateAccessToken", create.clone()).await;

    // A session has precedence over the certificate, also an invalid one.
    logged_in(&till).await.ok("CreateAccessToken", create.clone()).await;
    till.with_session("expired").refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
    till.with_api_key("wrong").refused("ListClassifications", json!({}), "INVALID_TOKEN").await;

    for (uri, common) in [("spiffe://example.com/stranger", "stranger"), ("spiffe://example.com/gone", "gone")] {
        let stranger = over(Some(&clients.client(uri, common))).await;
        stranger.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
        logged_in(&stranger).await.ok("ListClassifications", json!({})).await;
    }
    let nobody = over(None).await;
    nobody.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
    logged_in(&nobody).await.ok("CreateAccessToken", create).await;

    for forged in [Authority::new().client(TILL, "till"), servers.client(TILL, "till")] {
        assert!(!gets_in(server.address(), trust(&servers.pem(), Some(&forged))).await, "of another authority");
    }

    // The permissions of a user are looked up, and cached for less than a second.
    add_till(&installation, "access_tokens.lookup");
    tokio::time::sleep(Duration::from_secs(1)).await;
    till.refused("ListClassifications", json!({}), "PERMISSION_DENIED").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_certificate_is_enforced() {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    let installation = mutual(&directory, &authority.server(LOOPBACK), &authority.pem())
        .with("ACCESS_TOKENS__GRPC__TLS__CLIENT_AUTH", "required")
        .with("ACCESS_TOKENS__HTTP__TLS__CLIENT_CA", "clients.pem")
        .with("ACCESS_TOKENS__HTTP__TLS__CLIENT_AUTH", "required");
    let server = installation.start(&["serve"]);
    // The probe presents the certificate of the server, which is of the same authority.
    installation.wait_until_ready();
    add_user(&installation);
    add_till(&installation, "access_tokens.read");
    assert!(!gets_in(server.address(), trust(&authority.pem(), None)).await, "without a certificate");
    let answer = exchange(server.http_address(), &authority.pem(), &[&TLS13], b"http/1.1").await;
    assert!(answer.unwrap_or_default().is_empty(), "over HTTP neither");
    let expired = authority.sign(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(!gets_in(server.address(), trust(&authority.pem(), Some(&expired))).await, "with an expired one");
    let stranger = authority.client("spiffe://example.com/stranger", "stranger");
    assert!(gets_in(server.address(), trust(&authority.pem(), Some(&stranger))).await, "without an identity");
    let till = client(server.address(), trust(&authority.pem(), Some(&authority.client(TILL, "till")))).await;
    till.ok("ListClassifications", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_keeps_its_user_when_another_gets_the_name() {
    let (directory, [servers, clients]) = (TempDir::new().expect("a directory"), [(); 2].map(|()| Authority::new()));
    let installation = mutual(&directory, &servers.server(LOOPBACK), &clients.pem());
    add_user(&installation);
    add_till(&installation, "access_tokens.read");
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let over = async |uri: &str| client(server.address(), trust(&servers.pem(), Some(&clients.client(uri, "-")))).await;
    let import = |records: &str| {
        let imported = installation.run_with_input(&["import", "-"], records);
        assert!(imported.status.success(), "{}", text(&imported));
    };
    // No call has come with the certificate yet.
    import(r#"{"user": {"id": "STRONG", "username": "strong", "permissions": ["access_tokens.write"]}}"#);
    let id = user_id(&installation, "till");
    import(&format!(r#"{{"user": {{"id": "{id}", "username": "old till"}}}}"#));
    import(r#"{"user": {"id": "STRONG", "username": "till"}}"#);
    let till = over(TILL).await;
    till.ok("ListClassifications", json!({})).await;
    till.refused("CreateAccessToken", json!({}), "PERMISSION_DENIED").await;

    // A user that is added later is bound when it can log in or call, and not before.
    let gone = over("spiffe://example.com/gone").await;
    gone.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
    import(r#"{"user": {"id": "PLANTED", "username": "gone"}}"#);
    gone.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
    import(r#"{"user": {"id": "PLANTED", "username": "nobody"}}"#);
    import(r#"{"user": {"id": "RIGHT", "username": "gone", "permissions": ["access_tokens.read"]}}"#);
    gone.ok("ListClassifications", json!({})).await;
    import(r#"{"user": {"id": "RIGHT", "username": "renamed"}}"#);
    import(r#"{"user": {"id": "STRONG", "username": "gone"}}"#);
    tokio::time::sleep(Duration::from_secs(1)).await;
    gone.ok("ListClassifications", json!({})).await;
    gone.refused("CreateAccessToken", json!({}), "PERMISSION_DENIED").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_the_credential_of_a_call_without_a_session() {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    let installation = mutual(&directory, &authority.server(LOOPBACK), &authority.pem());
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    add_user(&installation);
    let id = user_id(&installation, "till");
    let till = client(server.address(), trust(&authority.pem(), Some(&authority.client(TILL, "till")))).await;
    let expected = json!({
        "user_id": id, "username": "till", "organisation": "DEMO", "permissions": ["access_tokens.read"],
        "credential_kind": "CERTIFICATE",
    });
    assert_eq!(till.ok("GetSession", json!({})).await, expected);
    let session = logged_in(&till).await.ok("GetSession", json!({})).await;
    assert_eq!((&session["username"], &session["credential_kind"]), (&json!("ops"), &json!("PASSWORD")));
}

/// Returns the id of a user of DEMO.
fn user_id(installation: &Installation, name: &str) -> String {
    let output = installation.run_with_input(
        &[
            "user",
            "add",
            "--organisation",
            "DEMO",
            "--username",
            name,
            "--password-stdin",
            "--permissions",
            "access_tokens.read",
        ],
        "staple battery",
    );
    let said = text(&output);
    let (_, rest) = said.split_once(", id ").unwrap_or_else(|| panic!("{said}"));
    rest.split(',').next().unwrap_or_default().to_owned()
}

/// Returns whether a call that needs no session is answered.
async fn gets_in(address: SocketAddr, config: ClientTlsConfig) -> bool {
    // A client of TLS 1.3 may consider the handshake complete before the server has checked its certificate.
    let Ok(channel) = connect(address, config).await else { return false };
    match Client::over(channel).login("DEMO", "ops", "wrong", None).await {
        Ok(_) => panic!("the password is wrong"),
        Err(refusal) => refusal.reason == "INVALID_LOGIN",
    }
}
