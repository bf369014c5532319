//! Certificates that are replaced while calls are made.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Makes calls until it is stopped, over a new connection each or over a kept one. Returns their number.
async fn call_on(
    address: SocketAddr,
    authority: String,
    caller: Client,
    keeps: bool,
    stop: Arc<AtomicBool>,
) -> Result<usize, String> {
    let mut calls = 0;
    while !stop.load(Ordering::Relaxed) {
        let fresh = match keeps {
            true => caller.clone(),
            false => {
                let channel = connect(address, trust(&authority, None)).await?;
                Client::over(channel).with_session(caller.session())
            }
        };
        fresh.try_call("ListClassifications", json!({})).await.map_err(|refusal| refusal.text())?;
        calls += 1;
    }
    Ok(calls)
}

/// Returns whether the presented certificate is of this authority.
async fn is_shown(address: SocketAddr, authority: &Authority) -> bool {
    connect(address, trust(&authority.pem(), None)).await.is_ok()
}

async fn until(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !there().await {
        assert!(started.elapsed() < Duration::from_secs(5), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_counts_within_seconds_and_no_call_fails() {
    let (directory, [old, new]) = (TempDir::new().expect("a directory"), [(); 2].map(|()| Authority::new()));
    let place = encrypted(&directory, &old.server(LOOPBACK));
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    add_user(&place);
    let address = server.address();
    // Clients trust both authorities, as they must during a replacement.
    let both = format!("{}{}", old.pem(), new.pem());
    let caller = logged_in(&client(address, trust(&both, None)).await).await;

    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = [true, true, false, false, false]
        .map(|keeps| tokio::spawn(call_on(address, both.clone(), caller.clone(), keeps, Arc::clone(&stop))))
        .into();
    for authority in [&new, &old, &new] {
        let pair = authority.server(LOOPBACK);
        // The key first: it does not match for a short time, as when an operator copies one file after the other.
        put(directory.path(), "server.key", &pair.key);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        put(directory.path(), "server.pem", &pair.certificate);
        until("the new certificate is not shown", async || is_shown(address, authority).await).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut calls = Vec::new();
    for caller in callers {
        calls.push(caller.await.expect("no panic").expect("no call failed"));
    }
    assert!(calls.iter().all(|calls| *calls > 10), "{calls:?}");
    assert!(!is_shown(address, &old).await, "the old one is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_certificate_changes_nothing_and_is_complained_about_once() {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    let place = encrypted(&directory, &authority.server(LOOPBACK));
    let server = place.start(&["serve", "--set", "http.listen=", "--set", "ops.listen="]);
    place.wait_until_ready();
    let complaints = || place.log().matches("cannot be used: it stays as it was").count();
    // Each fault is reported once: two files without a certificate are one fault.
    for (bad, said) in [("", 1), ("nonsense", 1), (authority.pem().as_str(), 2)] {
        put(directory.path(), "server.pem", bad);
        until("nothing is said", async || complaints() == said).await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert!(is_shown(server.address(), &authority).await);
    }
    assert_eq!(complaints(), 2, "{}", place.log());
    authority.server(LOOPBACK).put(directory.path(), "server");
    until("nothing is said", async || place.log().contains("the certificate was read again")).await;
    assert!(is_shown(server.address(), &authority).await);
}
