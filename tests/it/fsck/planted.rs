//! Healthy files and faults of every kind, written past the service into database, store and spool; all of it long ago.
//!
//! Not here: what must be said of them (`thousand.rs`).

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use data_encoding::BASE32_NOPAD;

use crate::harness::{Node, Operator, samples};

/// Bytes of one content, with the key that they have.
#[derive(Debug, Clone)]
pub struct Blob {
    /// 32 hex digits.
    pub key: String,
    /// The bytes that the row names.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// One of many: no two are alike.
    pub fn numbered(number: usize) -> Self {
        let key = format!("{:08x}{number:024x}", 0x7000_0000 + number / 100);
        Self { key, bytes: format!("planted {number:06}\n").into_bytes() }
    }

    /// The id of its file.
    pub fn file_id(&self) -> String {
        let id = data_encoding::HEXLOWER.decode(self.key.as_bytes()).expect("hex digits");
        BASE32_NOPAD.encode(&id).to_ascii_lowercase()
    }
}

/// A node that is planted in. It has one file that was really uploaded, `template.txt`, after which rows are made.
#[derive(Debug)]
pub struct Garden<'n> {
    pub node: &'n Node,
    pub chat: String,
}

impl<'n> Garden<'n> {
    pub async fn of(node: &'n Node) -> Self {
        let chat = node.new_chat().await;
        let template = node.upload("template.txt", samples::text(500, "template")).to_chat(&chat);
        template.passes_by(&Operator::new()).await;
        Self { node, chat }
    }

    fn bytes(&self, hex: &str) -> String {
        if self.node.postgres().is_some() { format!("decode('{hex}', 'hex')") } else { format!("X'{hex}'") }
    }

    /// A row of `blobs` and one of `files` for each, which is its blob's alone. No bytes.
    pub fn rows(&self, blobs: &[Blob]) {
        for some in blobs.chunks(200) {
            let values: Vec<_> = some
                .iter()
                .map(|Blob { key, bytes }| {
                    let (key, sha256) = (self.bytes(key), self.bytes(&samples::sha256(bytes)));
                    format!("SELECT {key} AS key, {sha256} AS sha256, {} AS size", bytes.len())
                })
                .collect();
            let template =
                "SELECT b.* FROM blobs b, files f WHERE f.blob_id = b.id AND f.display_name = 'template.txt'";
            let made = self.node.change_freely(&format!(
                "INSERT INTO blobs (key, sha256, size, state, verdict, engine, signatures, scanned_at, created_at) SELECT \
                 v.key, v.sha256, v.size, b.state, b.verdict, b.engine, b.signatures, b.scanned_at, b.created_at FROM ({}) v, \
                 ({template}) b",
                values.join(" UNION ALL ")
            ));
            assert_eq!(made, some.len());
        }
        let made = self.node.change_freely(
            "INSERT INTO files (number, id, code_hash, blob_id, state, display_name, extension, media_type, uploader_kind, \
             uploader_id, home_chat_id, persistent, sha256, size, uploaded_sha256, revision, created_at, ages_as) SELECT \
             f.number + 1000000 + b.id, b.key, b.key, b.id, f.state, 'planted.txt', f.extension, f.media_type, \
             f.uploader_kind, f.uploader_id, f.home_chat_id, f.persistent, b.sha256, b.size, b.sha256, f.revision, \
             f.created_at, f.ages_as FROM blobs b, files f WHERE f.display_name = 'template.txt' AND b.id NOT IN (SELECT \
             blob_id FROM files)",
        );
        assert_eq!(made, blobs.len());
    }

    /// Bytes in the store under these names, which are keys or none.
    pub fn store(&self, things: &[(String, Vec<u8>)]) {
        if let Some(bucket) = self.node.bucket() {
            return bucket.write_all(things);
        }
        for (name, bytes) in things {
            let path = self.path(name);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("our own folder");
            write_long_ago(&path, bytes);
        }
    }

    /// Where something lies in the store on a disk: in the folder of its first eight characters.
    pub fn path(&self, name: &str) -> PathBuf {
        self.node.data().join("blobs").join(&name[..8]).join(name)
    }

    /// As the store's names are told.
    pub fn told(&self, name: &str) -> String {
        if self.node.bucket().is_some() { format!("blobs/{name}") } else { format!("blobs/{}/{name}", &name[..8]) }
    }

    /// Bytes in the spool.
    pub fn spool(&self, name: &str, bytes: &[u8]) {
        write_long_ago(&self.node.data().join("spool").join(name), bytes);
    }

    /// So many attachments of files that are not there.
    pub fn attachments_of_nothing(&self, count: usize) {
        let rows: Vec<_> = (0..count)
            .map(|i| format!("('{}', {}, 'OPERATOR', '17', 1, 1, 1)", self.chat, 900_000_000_000_u64 + i as u64))
            .collect();
        let columns = "chat_id, file_number, by_kind, by_id, at, file_created_at, file_size";
        assert_eq!(
            self.node.change_freely(&format!("INSERT INTO attachments ({columns}) VALUES {}", rows.join(", "))),
            count
        );
    }

    /// These blobs lose their rows; their files stay.
    pub fn lose_blobs(&self, blobs: &[Blob]) {
        assert_eq!(self.node.change_freely(&format!("DELETE FROM blobs WHERE {}", self.are(blobs))), blobs.len());
    }

    /// These blobs are on their way out although their files are there.
    pub fn let_leave(&self, blobs: &[Blob]) {
        assert_eq!(
            self.node.change_freely(&format!("UPDATE blobs SET state = 'PURGING' WHERE {}", self.are(blobs))),
            blobs.len()
        );
    }

    /// As they were before [`Self::let_leave`].
    pub fn let_stay(&self, blobs: &[Blob]) {
        assert_eq!(
            self.node.change_freely(&format!("UPDATE blobs SET state = 'ACTIVE' WHERE {}", self.are(blobs))),
            blobs.len()
        );
    }

    /// The files of these blobs are gone, too, as a person would do it.
    pub fn lose_files(&self, blobs: &[Blob]) {
        let files = self.are(blobs).replace("key", "id");
        assert_eq!(self.node.change_freely(&format!("DELETE FROM files WHERE {files}")), blobs.len());
    }

    fn are(&self, blobs: &[Blob]) -> String {
        let keys: Vec<_> = blobs.iter().map(|blob| self.bytes(&blob.key)).collect();
        format!("key IN ({})", keys.join(", "))
    }
}

fn write_long_ago(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("our own folder");
    let file = fs::File::options().write(true).open(path).expect("our own file");
    file.set_modified(SystemTime::now() - Duration::from_secs(2 * 86_400)).expect("our own file");
}
