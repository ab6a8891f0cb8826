//! A server at a socket in the file system, reached by the command line; what a kill leaves of it, and its end.
//!
//! Not here: the socket's rules one by one (unit tests of `server/listener.rs`).

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::{
    cli::program::{Ended, lhfile},
    harness::{orphan, place::new_folder, process, samples},
};

/// No metrics, and no signatures of this machine.
const ENV: [(&str, &str); 2] = [("LHFILE_METRICS_LISTEN", ""), ("LHFILE_SCANNER__SIGNATURE_DIR", "/nonexistent")];

fn serve(folder: &Path, socket: &str) -> Child {
    let mut command = process::command(env!("CARGO_BIN_EXE_lhfile"));
    command.args(["serve", "--listen", socket]).current_dir(folder).envs(ENV).stdin(Stdio::null());
    let said = fs::File::create(folder.join("said")).expect("our own folder");
    command.stdout(said.try_clone().expect("a descriptor")).stderr(said);
    let server = process::spawn(command);
    wait_until_ready(folder, socket);
    server
}

fn wait_until_ready(folder: &Path, socket: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let said = fs::read_to_string(folder.join("said")).unwrap_or_default();
        if said.contains(&format!(" ready on {socket}")) && said.contains(" proved") {
            return;
        }
        assert!(Instant::now() < until, "not ready, or without a scanner: {said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn command_line_uploads_over_a_socket_that_outlives_a_kill_and_goes_with_its_server() {
    let folder = new_folder();
    // Short, because a socket's path is: the folder of the tests may lie deep.
    let place = tempfile::Builder::new().prefix("lhfile-it-").tempdir_in("/tmp").expect("a folder");
    let path = place.path().join("s");
    let socket = format!("unix:{}", path.display());
    let mut server = serve(&folder, &socket);
    assert_eq!(fs::metadata(&path).expect("it listens").mode() & 0o777, 0o600);

    let token = lhfile(&["token", "--service", "b", "--permission", "*", "--chat", "*"], &[], &folder).text();
    let run = |words: &[&str]| -> Ended {
        lhfile(words, &[("LHFILE_ADDR", &socket), ("LHFILE_TOKEN", token.trim())], &folder)
    };
    run(&["chat", "put", "42", "--status", "active", "--json"]).object();
    fs::write(folder.join("a.pdf"), samples::sample("pdf")).expect("our own folder");
    let file = run(&["upload", "a.pdf", "--chat", "42", "--json"]).object();
    let id = file["file_id"].as_str().expect("an id");
    run(&["download", id, "-o", "b.pdf", "--json"]).object();
    assert_eq!(fs::read(folder.join("b.pdf")).expect("written"), samples::sample("pdf"));
    let doctor = lhfile(&["doctor"], &[ENV[0], ENV[1], ("LHFILE_LISTEN", &socket)], &folder);
    assert!(doctor.text().contains(&format!("{socket}: the server runs")), "{}", doctor.text());

    // Another server takes neither its place nor its path.
    let other = folder.join("other").to_string_lossy().into_owned();
    let second = lhfile(&["serve", "--listen", &socket, "--data-dir", &other], &ENV, &folder);
    assert!(second.code == Some(1) && second.err.contains("cannot listen"), "{second:?}");
    run(&["show", id, "--json"]).object();

    // A killed one leaves it, and the next takes it over.
    server.kill().and_then(|()| server.wait()).expect("ours");
    assert!(path.exists());
    assert_eq!(run(&["show", id]).code, Some(4), "nobody listens");
    orphan::end(&folder.join("data"));
    let mut server = serve(&folder, &socket);
    run(&["show", id, "--json"]).object();
    process::signal(server.id(), "TERM");
    assert!(process::wait_for_end(&mut server, Duration::from_secs(45)));
    assert!(!path.exists(), "it goes with its server");
    fs::remove_dir_all(folder).expect("our own folder");
}
