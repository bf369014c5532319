//! The demo has a published password: other machines can reach it only if a setting allows it.

use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres;
use tempfile::TempDir;

use crate::processes::text;

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const PLAIN: [&str; 4] = ["--set", "grpc.allow_plain_text=true", "--set", "http.allow_plain_text=true"];

/// `serve` with these arguments, on addresses other than loopback.
struct Start<'a> {
    installation: &'a Installation,
    listen: [String; 2],
}

impl<'a> Start<'a> {
    fn new(installation: &'a Installation, grpc: &str, http: &str) -> Self {
        let at = |setting: &str, host: &str, port: u16| format!("{setting}={host}:{port}");
        let port = installation.address().port();
        // No test uses the default port of HTTP: HTTP is off, or on any free port.
        let http = if http.is_empty() { "http.listen=".to_owned() } else { at("http.listen", http, 0) };
        Self { installation, listen: [at("grpc.listen", grpc, port), http] }
    }

    fn arguments<'b>(&'b self, more: &[&'b str]) -> Vec<&'b str> {
        let [grpc, http] = &self.listen;
        [&["serve"], more, &PLAIN, &["--set", grpc.as_str(), "--set", http.as_str()]].concat()
    }

    fn refused(&self, more: &[&str], why: &[&str]) {
        let output = self.installation.run(&self.arguments(more));
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for text in why {
            assert!(said.contains(text), "{text} is not in: {said}");
        }
    }

    fn served(&self, more: &[&str]) {
        let server = self.installation.start(&self.arguments(more));
        self.installation.wait_until_ready();
        assert_eq!(server.terminate().0, Some(0), "{}", self.installation.log());
    }
}

fn a_demo_stays_on_this_machine(url: &str) {
    let directory = TempDir::new().expect("a directory");
    let installation = Installation::new(BINARY, directory.path(), url);
    if !url.starts_with("sqlite:") {
        assert!(installation.run(&["keys", "init"]).status.success());
    }
    let local = Start::new(&installation, "127.0.0.1", "");
    let open = Start::new(&installation, "0.0.0.0", "");
    let open_http = Start::new(&installation, "127.0.0.1", "0.0.0.0");

    open.refused(&["--demo"], &["grpc.listen (0.0.0.0:", "--demo-public"]);
    open_http.refused(&["--demo"], &["http.listen (0.0.0.0:", "--demo-public"]);
    Start::new(&installation, "[::]", "").refused(&["--demo"], &["grpc.listen ([::]:", "--demo-public"]);
    assert_eq!(installation.run(&["serve", "--demo-public"]).status.code(), Some(2), "it says nothing without --demo");
    // A database without the demo is served to all addresses.
    open.served(&[]);

    local.served(&["--demo"]);
    local.served(&[]);
    open.served(&["--demo", "--demo-public"]);
    let published = ["the published password of the demo", "user password --organisation DEMO --username demo"];
    open.refused(&[], &published);
    open_http.refused(&[], &published);

    // The demo stays the demo under another name.
    assert!(installation.run(&["organisation", "rename", "DEMO", "ACME"]).status.success());
    open.refused(&[], &["the published password of the demo", "user password --organisation ACME --username demo"]);
    let password = |password: &str| {
        let arguments = ["user", "password", "--organisation", "ACME", "--username", "demo", "--password-stdin"];
        let output = installation.run_with_input(&arguments, password);
        assert!(output.status.success(), "{}", text(&output));
    };
    password("another-one-4711");
    open.served(&[]);
    password("demo-demo-demo");
    open.refused(&[], &["the published password of the demo"]);
    // The name is free for another demo, which is refused as well.
    password("another-one-4711");
    local.served(&["--demo"]);
    open.refused(&[], &published);
}

#[test]
fn a_demo_stays_on_this_machine_on_sqlite() {
    a_demo_stays_on_this_machine("sqlite://access-tokens.db");
}

#[test]
fn a_demo_stays_on_this_machine_on_postgres() {
    a_demo_stays_on_this_machine(&postgres::create_database());
}
