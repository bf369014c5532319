//! Calls over connections whose client has shown a certificate.

use access_tokens_net::tls::Peer;

use super::*;

/// A call over a connection of this user.
fn from(user: Option<&str>, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let user =
        user.map(|name| Arc::new(CertificateUser { organisation: "DEMO".to_owned(), username: name.to_owned() }));
    let mut request = request(path, headers);
    request.extensions_mut().insert(Peer { user });
    request
}

#[tokio::test]
async fn a_certificate_counts_where_nothing_else_is_sent() {
    let service = calls(|request| async move {
        let extensions = request.extensions();
        assert!(extensions.get::<Caller>().is_some() && extensions.get::<Peer>().is_none());
        assert!(extensions.get::<Arc<Session>>().is_none(), "there is no session to release");
        ok(request).await
    });
    assert_eq!(call(service.clone(), from(Some("reader"), SHOW, &[])).await.code(), Code::Ok);
    for user in [Some("stranger"), None] {
        let status = call(service.clone(), from(user, SHOW, &[])).await;
        assert_eq!(reason(&status), "INVALID_TOKEN", "{user:?}");
    }
}

#[tokio::test]
async fn what_is_sent_with_the_call_counts_before_the_certificate() {
    let service = calls(ok);
    for (headers, expected) in [
        (&[("authorization", "Bearer nobody")][..], "PERMISSION_DENIED"),
        (&[("authorization", "Bearer expired")], "INVALID_TOKEN"),
        (&[("authorization", "")], "INVALID_TOKEN"),
        (&[("x-api-key", "wrong")], "INVALID_TOKEN"),
        (&[("x-api-key", "key"), ("x-api-key", "key")], "INVALID_TOKEN"),
        (&[("x-api-key", "key")], ""),
    ] {
        let status = call(service.clone(), from(Some("reader"), SHOW, headers)).await;
        assert_eq!(reason(&status), expected, "{headers:?}");
    }
    for path in [LOGIN, HEALTH] {
        assert_eq!(call(service.clone(), from(Some("stranger"), path, &[])).await.code(), Code::Ok);
    }
}
