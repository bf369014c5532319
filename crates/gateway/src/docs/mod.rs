//! The documentation page. It renders `/openapi.json` and can call its methods. All its files are in the binary.

use axum::Router;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use serde_json::Value;

use crate::error::json;

/// The files of the page: path, media type, content.
const FILES: [(&str, &str, &str); 5] = [
    ("/docs", "text/html; charset=utf-8", include_str!("index.html")),
    ("/docs/style.css", "text/css; charset=utf-8", include_str!("style.css")),
    ("/docs/app.js", "text/javascript; charset=utf-8", include_str!("app.js")),
    ("/docs/schema.js", "text/javascript; charset=utf-8", include_str!("schema.js")),
    ("/docs/form.js", "text/javascript; charset=utf-8", include_str!("form.js")),
];

/// The content security policy of the page: it may load its own files and call this API, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Adds the page and the description that it renders.
pub(crate) fn mount(mut router: Router, description: &Value) -> Router {
    let description = axum::body::Bytes::from(description.to_string());
    router = router.route("/openapi.json", get(async move || json(StatusCode::OK, description)));
    for (path, media_type, content) in FILES {
        router = router.route(path, get(async move || file(media_type, content)));
    }
    for path in ["/", "/docs/"] {
        router = router.route(path, get(async || Redirect::temporary("/docs")));
    }
    router
}

fn file(media_type: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        for (path, _, content) in FILES {
            assert!(
                !content.contains("http://") && !content.contains("https://") && !content.contains("innerHTML"),
                "{path}"
            );
        }
    }

    #[test]
    fn every_file_that_the_page_loads_is_served() {
        for (path, _, content) in FILES {
            let loaded = content.split('"').filter(|text| text.starts_with("/docs/"));
            for file in loaded {
                assert!(FILES.iter().any(|(path, _, _)| *path == file), "{path} loads {file}");
            }
        }
    }
}
