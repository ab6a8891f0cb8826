//! Clients that are none of ours: Python's grpcio and PHP's curl from `examples/clients`, grpcurl and `buf curl` by
//! reflection. Each tells a chat, uploads, lists, downloads where it can, and reads why something was refused.
//!
//! Not here: our own command line (`cli.rs`). A tool that is missing fails its test: `make test` installs it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use data_encoding::{BASE64, BASE64_NOPAD};
use serde_json::{Value, json};

use crate::harness::{Caller, Node, Service, Visitor, samples, shared};

/// A tool of the tests' Python environment, as `setup/install.sh test` makes it.
pub fn tool(name: &str) -> PathBuf {
    installed(&format!("venv/bin/{name}"))
}

/// What `setup/install.sh test` puts into its folder.
pub fn installed(inside: &str) -> PathBuf {
    let cache = std::env::var_os("LHFILE_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME or LHFILE_CACHE")).join(".cache/lhfile");
    let path = cache.unwrap_or_else(home).join(inside);
    assert!(path.exists(), "{} is missing: run `make test` (or setup/install.sh test) once", path.display());
    path
}

fn client(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clients").join(path)
}

/// How a program ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    /// Each line of standard output as JSON; it must have ended well.
    #[track_caller]
    fn lines(&self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {self:?}"))).collect()
    }
    /// The one object of standard output; it must have ended well.
    #[track_caller]
    fn object(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Runs it; a program that cannot be started fails with the hint.
fn run(program: &Path, arguments: &[&str], env: &[(&str, &str)], input: &str) -> Ended {
    let mut command = Command::new(program);
    command.args(arguments).envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let hint =
        |error| panic!("{} cannot run ({error}): run `make test` (or setup/install.sh test) once", program.display());
    let mut child = command.spawn().unwrap_or_else(hint);
    // A program that refuses its input early closes it: that is no failure of ours.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ran");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A folder with files to upload under their names.
fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("our own folder");
    }
    folder
}

/// What both example clients can do; `words` puts the arguments of a step in the client's own order.
async fn whole_way(program: PathBuf, script: PathBuf, words: impl Fn(&[&str]) -> Vec<String>) {
    let node = shared().await;
    let chat = node.new_chat().await;
    // Larger than one chunk, so that it is a stream.
    let text = samples::text(700_000, &chat);
    let files =
        folder(&[("letter.txt", text.clone()), ("eicar.txt", samples::eicar()), ("a.pdf", samples::sample("pdf"))]);
    let path = |name: &str| files.path().join(name).to_string_lossy().into_owned();
    let (address, script) = (node.address().to_string(), script.to_string_lossy().into_owned());
    let call = |token: &str, step: &[&str]| {
        let step = words(step);
        let arguments: Vec<&str> = std::iter::once(script.as_str()).chain(step.iter().map(String::as_str)).collect();
        run(&program, &arguments, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", token)], "")
    };
    let backend = Service::all().token();
    let told = call(&backend, &["put-chat", &chat, "active", "17"]).lines();
    assert_eq!(told[0]["chat_id"], json!(chat));
    let file = call(&backend, &["upload", &path("letter.txt"), &chat]).lines().remove(0);
    assert_eq!((&file["display_name"], &file["sha256"]), (&json!("letter.txt"), &json!(samples::sha256(&text))));
    call(&Visitor::of_chat(&chat).token(), &["upload", &path("a.pdf"), &chat]).lines();
    let listed = call(&backend, &["list", &chat]).lines();
    let names: Vec<_> = listed.iter().map(|file| file["display_name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["a.pdf", "letter.txt"], "newest first");
    let out = path("out.txt");
    call(&backend, &["download", file["file_id"].as_str().expect("an id"), &out]).lines();
    assert_eq!(fs::read(&out).expect("written"), text);

    for (token, step, code, reason, fact) in [
        (&backend, vec!["upload", "eicar.txt"], "INVALID_ARGUMENT", "INFECTED", "signature"),
        (
            &Visitor::of_chat(&chat).token(),
            vec!["upload", "letter.txt"],
            "INVALID_ARGUMENT",
            "TYPE_NOT_ALLOWED",
            "allowed",
        ),
        (&"x".to_owned(), vec!["upload", "a.pdf"], "UNAUTHENTICATED", "BAD_CREDENTIAL", ""),
    ] {
        let file = path(step[1]);
        let ended = call(token, &[step[0], &file, &chat]);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let refusal: Value = serde_json::from_str(ended.err.lines().last().unwrap_or_default()).expect("a JSON object");
        // PHP knows the code by its number, Python by its name.
        let by_number = [("INVALID_ARGUMENT", 3), ("UNAUTHENTICATED", 16)].iter().find(|(name, _)| *name == code);
        let known = [json!(code), json!(by_number.map(|(_, number)| number))];
        assert!(known.contains(&refusal["code"]), "{refusal}");
        assert_eq!(refusal["reason"], json!(reason), "{refusal}");
        assert!(fact.is_empty() || refusal["metadata"][fact].is_string(), "{refusal}");
    }
    let ended = call(&backend, &["download", "aaaaaaaaaaaaaaaaaaaaaaaaaa", &out]);
    assert!(ended.code == Some(3) && ended.err.contains("NOT_FOUND"), "{ended:?}");
    assert_eq!(fs::read(&out).expect("still there"), text, "a refused download leaves what is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_grpcio_goes_the_whole_way() {
    let words = |step: &[&str]| -> Vec<String> {
        let words: Vec<&str> = match step {
            ["put-chat", chat, status, owner] => vec!["put-chat", chat, "--status", status, "--owner", owner],
            ["upload", path, chat] => vec!["upload", path, "--chat", chat],
            ["download", id, path] => vec!["download", id, "-o", path],
            other => other.to_vec(),
        };
        words.into_iter().map(str::to_owned).collect()
    };
    whole_way(tool("python"), client("python/client.py"), words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn php_curl_goes_the_whole_way() {
    let words = |step: &[&str]| step.iter().map(|word| (*word).to_owned()).collect();
    whole_way(PathBuf::from("php"), client("php/client.php"), words).await;
}

/// A tool that reads the schema by reflection: asks one method with these messages.
struct Reflecting {
    ask: fn(&Node, &str, &str, &str) -> Ended,
}

const GRPCURL: Reflecting = Reflecting {
    ask: |node, token, method, input| {
        let (address, header) = (node.address().to_string(), format!("authorization: Bearer {token}"));
        let method = format!("lhfile.v1.{method}");
        let arguments = ["-plaintext", "-format-error", "-emit-defaults", "-H", &header, "-d", "@", &address, &method];
        run(&tool("grpcurl"), &arguments, &[], input)
    },
};

const BUF: Reflecting = Reflecting {
    ask: |node, token, method, input| {
        let header = format!("authorization: Bearer {token}");
        let url = format!("http://{}/lhfile.v1.{method}", node.address());
        let arguments = [
            "curl",
            "--protocol",
            "grpc",
            "--http2-prior-knowledge",
            "--emit-defaults",
            "-H",
            &header,
            "-d",
            "@-",
            &url,
        ];
        run(&tool("buf"), &arguments, &[], input)
    },
};

fn upload_messages(name: &str, chat: &str, bytes: &[u8]) -> String {
    let header = json!({"header": {"displayName": name, "chatId": chat}});
    let chunks = bytes.chunks(100_000).map(|chunk| json!({"chunk": {"data": BASE64.encode(chunk)}}));
    let messages = std::iter::once(header).chain(chunks).chain([json!({"commit": {}})]);
    messages.map(|message| message.to_string() + "\n").collect()
}

async fn whole_way_by_reflection(client: Reflecting) {
    let node = shared().await;
    let chat = node.new_chat().await;
    let backend = Service::all().token();
    let put = json!({"chat": {"chatId": chat, "status": "CHAT_STATUS_ACTIVE", "ownerOperator": "17"}}).to_string();
    let told = (client.ask)(node, &backend, "ChatService/PutChat", &put).object();
    assert_eq!((&told["chat"]["chatId"], &told["chat"]["ownerOperator"]), (&json!(chat), &json!("17")));
    let text = samples::text(250_000, &chat);
    let messages = upload_messages("letter.txt", &chat, &text);
    let answer = (client.ask)(node, &backend, "FileService/UploadFile", &messages).object();
    assert_eq!(answer["file"]["sha256"], json!(samples::sha256(&text)));
    let list = json!({"chatId": chat}).to_string();
    let listed = (client.ask)(node, &backend, "FileService/ListChatFiles", &list).object();
    assert_eq!(listed["files"][0]["fileId"], answer["file"]["fileId"]);
    let download = json!({"fileId": answer["file"]["fileId"]}).to_string();
    let stream = (client.ask)(node, &backend, "FileService/DownloadFile", &download);
    assert_eq!(stream.code, Some(0), "{stream:?}");
    let parts: Vec<Value> =
        serde_json::Deserializer::from_str(&stream.out).into_iter().map(|v| v.expect("JSON")).collect();
    let data = parts.iter().filter_map(|part| part["chunk"]["data"].as_str());
    let bytes: Vec<u8> = data.flat_map(|data| BASE64.decode(data.as_bytes()).expect("base64")).collect();
    assert_eq!((&parts[0]["header"]["mediaType"], bytes), (&json!("text/plain"), text));

    for (name, bytes, token, reason) in [
        ("eicar.txt", samples::eicar(), backend.clone(), "INFECTED"),
        ("letter.txt", b"a text".to_vec(), Visitor::of_chat(&chat).token(), "TYPE_NOT_ALLOWED"),
    ] {
        let ended = (client.ask)(node, &token, "FileService/UploadFile", &upload_messages(name, &chat, &bytes));
        assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
        let told = with_details(&ended);
        assert!(told.contains(reason) && told.contains("lhfile"), "the reason is read: {ended:?}");
    }
    let ended = (client.ask)(node, "x", "ConfigService/GetSettings", "{}");
    assert!(with_details(&ended).contains("BAD_CREDENTIAL"), "{ended:?}");
}

/// What a tool says on standard error. grpcurl decodes the details; buf leaves them as base64, decoded here.
fn with_details(ended: &Ended) -> String {
    let mut told = ended.err.clone();
    if let Ok(error) = serde_json::from_str::<Value>(&ended.err) {
        for detail in error["details"].as_array().into_iter().flatten() {
            let value = detail["value"].as_str().unwrap_or_default();
            let bytes = BASE64_NOPAD.decode(value.trim_end_matches('=').as_bytes()).unwrap_or_default();
            told += &String::from_utf8_lossy(&bytes);
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_goes_the_whole_way_by_reflection() {
    whole_way_by_reflection(GRPCURL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_curl_goes_the_whole_way_by_reflection() {
    whole_way_by_reflection(BUF).await;
}
