//! The certificate files that a process uses.

use access_tokens_telemetry::metrics::CertificateFile;

use crate::config::Settings;

/// Returns the files of `serve`.
pub(super) fn of_service(settings: &Settings) -> Vec<CertificateFile> {
    let mut files = CertificateFile::of_listener("grpc", &settings.grpc.tls);
    files.extend(CertificateFile::of_listener("http", &settings.http.tls));
    files.extend(of_both(settings));
    files
}

/// Returns the files of the gateway as a separate process.
pub(super) fn of_gateway(settings: &Settings) -> Vec<CertificateFile> {
    let mut files = CertificateFile::of_listener("http", &settings.http.tls);
    files.extend(CertificateFile::of_client("upstream", &settings.gateway.upstream));
    files.extend(of_both(settings));
    files
}

fn of_both(settings: &Settings) -> Vec<CertificateFile> {
    let mut files = CertificateFile::of_listener("ops", &settings.ops.tls);
    files.extend(CertificateFile::of_client("collector", &settings.telemetry.collector));
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadedSettings;

    #[test]
    fn each_process_watches_what_it_uses() {
        let set = [
            "grpc.tls.certificate=g",
            "grpc.tls.key=k",
            "grpc.tls.client_ca=gc",
            "http.tls.certificate=h",
            "http.tls.key=k",
            "ops.tls.certificate=o",
            "ops.tls.key=k",
            "gateway.upstream.ca=uc",
            "gateway.upstream.certificate=u",
            "gateway.upstream.key=k",
            "telemetry.collector.ca=cc",
        ];
        let settings = LoadedSettings::load(None, [], &set.map(str::to_owned)).expect("settings").settings;
        let named = |files: Vec<CertificateFile>| {
            let name = |file: &CertificateFile| {
                let (place, role, path) = file.describe();
                (place, role, path.display().to_string())
            };
            files.iter().map(name).collect::<Vec<_>>()
        };
        let entry = |place, role, path: &str| (place, role, path.to_owned());
        let both = [entry("ops", "server", "o"), entry("collector", "authority", "cc")];
        let service = [entry("grpc", "server", "g"), entry("grpc", "authority", "gc"), entry("http", "server", "h")];
        assert_eq!(named(of_service(&settings)), [&service[..], &both].concat());
        let gateway =
            [entry("http", "server", "h"), entry("upstream", "client", "u"), entry("upstream", "authority", "uc")];
        assert_eq!(named(of_gateway(&settings)), [&gateway[..], &both].concat());
        let bare = LoadedSettings::load(None, [], &[]).expect("the defaults").settings;
        assert!(of_service(&bare).is_empty() && of_gateway(&bare).is_empty());
    }
}
