//! The rules of the configuration, on files as people write them.

use super::*;

fn load(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("lhfile.toml");
    std::fs::write(&path, text).expect("written");
    Config::load(Some(&path), &Overrides::default()).map_err(|e| e.to_string())
}

fn refusal(text: &str) -> String {
    load(text).expect_err(text)
}

#[test]
fn defaults_are_those_of_the_commented_file_and_hold() {
    let config = Config::load(None, &Overrides::default()).expect("the defaults hold");
    assert_eq!(config, load("").expect("an empty file changes nothing"));
    assert_eq!(config, load(DEFAULTS).expect("the file itself holds"));
    assert_eq!(config.listen.to_string(), "127.0.0.1:50051");
    assert_eq!(config.metrics_listen.map(|a| a.to_string()).as_deref(), Some("127.0.0.1:50052"));
    assert_eq!(config.data_dir, Path::new("./data"));
    assert_eq!(config.max_token_ttl_seconds, 24 * 3600);
    assert_eq!((config.spool.budget_bytes, config.spool.reserve_percent), (4 << 30, 5));
    assert_eq!((config.limits.uploads_per_visitor, config.limits.uploads_per_operator), (2, 8));
    assert_eq!((config.limits.connections, config.shutdown_grace_seconds), (10_000, 30));
    assert_eq!((config.scanner.mode, config.log.format), (ScannerMode::Managed, LogFormat::Auto));
    assert!(config.keys.is_empty() && config.is_reflection_public());
}

#[test]
fn every_default_is_commented() {
    let mut commented = false;
    for line in DEFAULTS.lines() {
        match line.trim() {
            line if line.starts_with('#') => commented = true,
            "" => commented = false,
            line if line.starts_with('[') => commented = false,
            line => assert!(commented, "{line} has no comment"),
        }
    }
}

#[test]
fn unknown_key_is_refused_naming_file_key_and_neighbours() {
    let text = refusal("[scanner]\nmodus = \"managed\"\n");
    assert!(text.contains("lhfile.toml: unknown key scanner.modus"), "{text}");
    assert!(text.contains("clamd_binary"), "{text}");
    assert!(refusal("colour = 1").contains("unknown key colour"));
    let text = refusal("[[keys]]\nkid = \"a\"\nalgorithm = \"HS256\"\nsecrets = \"x\"\n");
    assert!(text.contains("secrets") && text.contains("lhfile.toml"), "{text}");
}

#[test]
fn wrong_type_is_refused_naming_file_and_key() {
    let text = refusal("listen = 7");
    assert!(text.contains("listen") && text.contains("lhfile.toml"), "{text}");
    assert!(refusal("metrics_listen = \"here\"").contains("metrics_listen"));
    assert!(refusal("[log]\nformat = \"xml\"").contains("format"));
}

#[test]
fn plaintext_beyond_loopback_needs_the_word() {
    let text = refusal("listen = \"0.0.0.0:50051\"");
    assert!(text.contains("[tls]") && text.contains("allow_plaintext_beyond_loopback"), "{text}");
    let secured = "listen = \"0.0.0.0:50051\"\n[tls]\ncert_file = \"c\"\nkey_file = \"k\"";
    assert!(!load(secured).expect("TLS").is_reflection_public());
    let config = load("listen = \"0.0.0.0:50051\"\nallow_plaintext_beyond_loopback = true").expect("allowed by name");
    assert!(!config.is_reflection_public());
}

#[test]
fn socket_counts_as_loopback_and_has_a_mode_for_its_owner() {
    let config = load("listen = \"unix:/run/lhfile.sock\"").expect("a socket");
    assert_eq!((config.listen.to_string().as_str(), config.socket_mode), ("unix:/run/lhfile.sock", 0o600));
    assert!(config.is_loopback() && config.is_reflection_public());
    for bad in ["unix:", "unix:run/s", "unix:/", "localhost:1", &format!("unix:/{}", "s".repeat(107))] {
        assert!(refusal(&format!("listen = {bad:?}")).contains("listen"), "{bad}");
    }
    assert_eq!(load("socket_mode = \"660\"").expect("its group").socket_mode, 0o660);
    for bad in ["0060", "rw", "6000", "1600", "8", "0608"] {
        assert!(refusal(&format!("socket_mode = {bad:?}")).contains("socket_mode"), "{bad}");
    }
}

#[test]
fn tls_needs_a_pair_of_files_and_client_certificates_somebody_who_vouches() {
    let tls = |rest: &str| format!("[tls]\n{rest}");
    let pair = "cert_file = \"c\"\nkey_file = \"k\"\n";
    for half in ["cert_file = \"c\"", "key_file = \"k\""] {
        assert!(refusal(&tls(half)).contains("key_file"), "{half}");
    }
    assert!(refusal(&format!("listen = \"unix:/run/s\"\n{}", tls(pair))).contains("speaks no TLS"));
    let ca = "client_ca_file = \"ca\"\n";
    assert!(refusal(&tls(&format!("{pair}{ca}"))).contains("client_certificates"));
    for asked in ["client_certificates = \"optional\"\n", "client_certificates = \"required\"\n"] {
        assert!(refusal(&tls(&format!("{pair}{asked}"))).contains("client_ca_file"));
        assert!(refusal(&tls(&format!("{ca}{asked}"))).contains("cert_file"));
        let config = load(&tls(&format!("{pair}{ca}{asked}"))).expect("complete");
        assert_eq!(config.tls.client_ca(), Some(Path::new("ca")));
    }
}

#[test]
fn certificate_stands_for_one_service_by_a_name_of_a_known_kind() {
    let pair = "[tls]\ncert_file = \"c\"\nkey_file = \"k\"\n";
    let asked = format!("{pair}client_ca_file = \"ca\"\nclient_certificates = \"optional\"\n");
    let caller = |certificate: &str| {
        format!("[[tls.callers]]\ncertificate = {certificate:?}\nservice = \"b\"\npermissions = []\nchats = []\n")
    };
    for good in ["dns:backend.internal", "uri:spiffe://chat/b", "cn:backend"] {
        assert_eq!(load(&format!("{asked}{}", caller(good))).expect(good).tls.callers.len(), 1);
        assert!(refusal(&format!("{pair}{}", caller(good))).contains("asked for none"), "{good}");
    }
    for bad in ["backend", "email:a@b", "dns:", ""] {
        assert!(refusal(&format!("{asked}{}", caller(bad))).contains("tls.callers"), "{bad}");
    }
    assert!(refusal(&format!("{asked}{0}{0}", caller("cn:b"))).contains("twice"));
}

#[test]
fn empty_metrics_address_is_off() {
    assert_eq!(load("metrics_listen = \"\"").expect("off").metrics_listen, None);
    assert!(refusal("metrics_listen = \"127.0.0.1:50051\"").contains("port of its own"));
}

#[test]
fn postgresql_needs_a_secret_that_nodes_share_and_its_password_is_not_shown() {
    assert!(load("").expect("the default").database_url.place() == DatabasePlace::DataFolder);
    let url = "postgres://lhfile:s3cr3t@db.example:5432/lhfile?sslmode=verify-full";
    let text = refusal(&format!("database_url = {url:?}"));
    assert!(text.contains("secret_file") && !text.contains("s3cr3t"), "{text}");
    let config = load(&format!("database_url = {url:?}\nsecret_file = \"/etc/lhfile/secret\"")).expect("complete");
    assert!(config.database_url.place() == DatabasePlace::Postgres(url));
    assert_eq!(config.shared_secret(), Some(Path::new("/etc/lhfile/secret")));
    assert!(!format!("{config:?}").contains("s3cr3t"), "secrets are not logged");
    for bad in ["mysql://h/d", "lhfile.db", "postgres:/h/d"] {
        let text = refusal(&format!("database_url = {bad:?}"));
        assert!(text.contains("database_url") && !text.contains(bad), "{text}");
    }
}

#[test]
fn key_needs_the_source_that_fits_its_algorithm() {
    let key = |rest: &str| format!("[[keys]]\nkid = \"a\"\n{rest}");
    for bad in [
        "algorithm = \"HS256\"",
        "algorithm = \"HS256\"\nsecret = \"x\"\nsecret_file = \"y\"",
        "algorithm = \"EdDSA\"\nsecret = \"0123456789abcdef0123456789abcdef\"",
        "algorithm = \"none\"\nsecret = \"0123456789abcdef0123456789abcdef\"",
    ] {
        refusal(&key(bad));
    }
    assert!(refusal(&key("algorithm = \"HS256\"\nsecret = \"short\"")).contains("32"));
    let good = key("algorithm = \"HS256\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n");
    let config = load(&good).expect("a secret of 32 bytes");
    assert!(!format!("{config:?}").contains("0123456789abcdef"), "secrets are not logged");
    assert!(refusal(&(good.clone() + &good)).contains("twice"));
    assert!(refusal(&good.replace("\"a\"", "\"lhfile.a\"")).contains("lhfile."), "our own keys are called so");
}

#[test]
fn external_scanner_needs_an_address_and_declared_threads() {
    let external = |rest: &str| format!("[scanner]\nmode = \"external\"\n{rest}");
    for bad in ["", "address = \"clamd\"", "address = \"tcp:host\"", "address = \"unix:relative\""] {
        assert!(refusal(&external(bad)).contains("scanner.address"), "{bad}");
    }
    let text = refusal(&external("address = \"tcp:10.0.0.7:3310\""));
    assert!(text.contains("threads"), "{text}");
    load(&external("address = \"tcp:10.0.0.7:3310\"\nlimits.threads = 10")).expect("complete");
    assert!(refusal("[scanner]\naddress = \"tcp:h:1\"").contains("external"));
}

#[test]
fn bucket_needs_a_key_and_an_address_that_is_not_overheard() {
    let s3 = |rest: &str| format!("blob_url = \"s3://files/chat/\"\n[s3]\n{rest}");
    let key = "access_key_id = \"k\"\nsecret_access_key = \"hidden-secret\"\n";
    let config = load(&s3(key)).expect("AWS");
    let place = BlobPlace::S3 { bucket: "files".to_owned(), prefix: "chat".to_owned() };
    assert_eq!(config.blob_place(), Ok(place));
    assert!(!format!("{config:?}").contains("hidden-secret"), "secrets are not logged");
    for bad in ["", "access_key_id = \"k\"", &format!("{key}secret_access_key_file = \"f\"")] {
        assert!(refusal(&s3(bad)).contains("s3.access_key_id"), "{bad}");
    }
    for endpoint in ["https://s3.example.com", "http://127.0.0.1:3900", "http://localhost:1", "http://[::1]:3900"] {
        load(&s3(&format!("{key}endpoint = {endpoint:?}"))).expect(endpoint);
    }
    for endpoint in ["s3.example.com", "ftp://x", "https://", "https://host/path", "https://user@host"] {
        assert!(refusal(&s3(&format!("{key}endpoint = {endpoint:?}"))).contains("s3.endpoint"), "{endpoint}");
    }
    let plain = format!("{key}endpoint = \"http://10.0.0.7:3900\"\n");
    assert!(refusal(&s3(&plain)).contains("allow_http"));
    load(&s3(&format!("{plain}allow_http = true"))).expect("allowed by name");
}

#[test]
fn blob_url_is_empty_or_a_bucket() {
    assert_eq!(load("").expect("the default").blob_place(), Ok(BlobPlace::DataFolder));
    for bad in ["/srv", "file:///srv", "s3://", "s3://Bucket", "s3://ab", "s3://bucket//x", "s3://bucket/../x"] {
        assert!(refusal(&format!("blob_url = {bad:?}")).contains("s3://BUCKET"), "{bad}");
    }
}

#[test]
fn secret_of_the_object_store_may_lie_in_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("secret");
    let s3 = S3Config { secret_access_key_file: file.clone(), ..load("").expect("holds").s3 };
    assert!(s3.read_secret().expect_err("not there").to_string().contains("cannot be read"));
    std::fs::write(&file, "\n").expect("written");
    assert!(s3.read_secret().expect_err("empty").to_string().contains("empty"));
    std::fs::write(&file, "from-the-file\n").expect("written");
    assert_eq!(s3.read_secret().as_deref(), Ok("from-the-file"));
}

#[test]
fn window_of_a_connection_holds_that_of_a_stream() {
    assert!(refusal("[grpc]\nconnection_window_bytes = 65535").contains("grpc.connection_window_bytes"));
}

#[test]
fn command_line_wins() {
    let overrides =
        Overrides { listen: Some("127.0.0.1:1".parse().expect("an address")), data_dir: Some("/srv/lhfile".into()) };
    let config = Config::load(None, &overrides).expect("holds");
    assert_eq!((config.listen.to_string().as_str(), config.data_dir.to_str()), ("127.0.0.1:1", Some("/srv/lhfile")));
}
