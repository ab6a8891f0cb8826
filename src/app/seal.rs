//! Things we hand out and take back: download links and page tokens, encrypted and authenticated with keys derived from
//! the server's secrets (HKDF), each for its one purpose.
//!
//! Who holds one can neither change nor read it: a link names its creator, whom its holder need not know. The keys of the
//! tokens that we make for others are derived here, too. Not here: what a link allows (`download.rs`), what a page is
//! (`library.rs`), what a token says (`rpc/credential.rs`).

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

/// What a sealed text is for: part of the key's derivation, so that one can never pass for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A download link.
    Link,
    /// A page token.
    Page,
}

impl Purpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Purpose::Link => b"lhfile v1 download link, AES-256-GCM-SIV",
            Purpose::Page => b"lhfile v1 page token, AES-256-GCM-SIV",
        }
    }
}

/// The server's secrets: the first seals, all of them open. Clones share them, also when they are replaced.
#[derive(Clone)]
pub struct Secrets(Arc<RwLock<Arc<Derived>>>);

/// What one server's secrets are used as, the newest first.
struct Derived {
    link: Vec<LessSafeKey>,
    page: Vec<LessSafeKey>,
}

/// A key of the tokens that we make.
pub struct TokenKey {
    /// Its name in a token: `lhfile.` and 16 hex digits that tell nothing of the secret.
    pub kid: String,
    /// For HMAC-SHA-256.
    pub key: Vec<u8>,
}

/// What the name of every such key begins with.
const TOKEN_KID: &str = "lhfile.";

/// The keys that tokens made by us are signed and verified with, a key of each secret, the newest first.
pub fn token_keys(secrets: &[Vec<u8>]) -> Vec<TokenKey> {
    let one = |secret: &Vec<u8>| TokenKey {
        kid: format!("{TOKEN_KID}{}", HEXLOWER.encode(&expand::<8>(secret, b"lhfile v1 token key id"))),
        key: expand::<32>(secret, b"lhfile v1 token, HS256").to_vec(),
    };
    secrets.iter().map(one).collect()
}

impl Derived {
    fn new(secrets: &[Vec<u8>]) -> Option<Self> {
        if secrets.is_empty() || secrets.iter().any(|s| s.len() < 32) {
            return None;
        }
        let all = |purpose: Purpose| secrets.iter().map(|s| derive(s, purpose)).collect();
        Some(Self { link: all(Purpose::Link), page: all(Purpose::Page) })
    }

    fn keys(&self, purpose: Purpose) -> &[LessSafeKey] {
        match purpose {
            Purpose::Link => &self.link,
            Purpose::Page => &self.page,
        }
    }
}

impl Secrets {
    /// From secrets of at least 32 bytes, newest first. `None` if there is none or one is too short.
    pub fn new(secrets: &[Vec<u8>]) -> Option<Self> {
        Derived::new(secrets).map(|derived| Self(Arc::new(RwLock::new(Arc::new(derived)))))
    }

    /// From now on these. `false`, and nothing is changed, if they are none as [`Secrets::new`] says.
    pub fn replace(&self, secrets: &[Vec<u8>]) -> bool {
        let Some(derived) = Derived::new(secrets) else { return false };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(derived);
        true
    }

    fn now(&self) -> Arc<Derived> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The payload as text for URLs: nonce, cipher text, tag. `random` is the nonce, cut to its length; one that came
    /// twice would tell no more than that two payloads are equal (SIV), so any number may be sealed with one secret.
    pub fn seal(&self, purpose: Purpose, payload: &[u8], random: [u8; 16]) -> String {
        let (nonce, _) = random.split_first_chunk().expect("a nonce is shorter than 16 bytes");
        let mut body = payload.to_vec();
        self.now().keys(purpose)[0]
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut body)
            .expect("a payload is ids and numbers, far below what one call can seal");
        BASE64URL_NOPAD.encode(&[nonce.as_slice(), &body].concat())
    }

    /// The payload, if it was sealed by one of our secrets for this purpose.
    pub fn open(&self, purpose: Purpose, text: &str) -> Option<Vec<u8>> {
        if text.len() > 4_096 {
            return None;
        }
        let sealed = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        self.now().keys(purpose).iter().find_map(|key| {
            let mut body = body.to_vec();
            let payload = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut body).ok()?.len();
            body.truncate(payload);
            Some(body)
        })
    }
}

fn derive(secret: &[u8], purpose: Purpose) -> LessSafeKey {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"lhfile").extract(secret);
    let info = [purpose.info()];
    let okm = prk.expand(&info, &AES_256_GCM_SIV).expect("the key length is one HKDF can make");
    LessSafeKey::new(UnboundKey::from(okm))
}

/// A length that HKDF is asked for.
struct Bytes<const N: usize>;

impl<const N: usize> hkdf::KeyType for Bytes<N> {
    fn len(&self) -> usize {
        N
    }
}

fn expand<const N: usize>(secret: &[u8], info: &[u8]) -> [u8; N] {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"lhfile").extract(secret);
    let (mut bytes, info) = ([0; N], [info]);
    let okm = prk.expand(&info, Bytes::<N>).expect("a length that HKDF can make");
    okm.fill(&mut bytes).expect("as many bytes as asked for");
    bytes
}

/// Writes length-prefixed fields: two different lists of fields are never the same bytes.
#[derive(Default)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// One more field of at most 64 KiB.
    #[must_use]
    pub fn field(mut self, bytes: &[u8]) -> Self {
        let len = u16::try_from(bytes.len()).expect("fields are ids and numbers");
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// One more number.
    #[must_use]
    pub fn number(self, n: i64) -> Self {
        self.field(&n.to_be_bytes())
    }

    /// The bytes.
    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what [`Fields`] wrote.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next field.
    pub fn field(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (field, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    /// The next field as a number.
    pub fn number(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.field()?.try_into().ok()?))
    }

    /// The next field as text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.field()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(bytes: &[u8]) -> Secrets {
        Secrets::new(&bytes.iter().map(|b| vec![*b; 32]).collect::<Vec<_>>()).expect("long enough")
    }

    #[test]
    fn a_sealed_text_opens_for_its_purpose_only_and_not_when_changed() {
        let ours = secrets(&[1]);
        let text = ours.seal(Purpose::Link, b"payload", [5; 16]);
        assert_eq!(ours.open(Purpose::Link, &text).as_deref(), Some(&b"payload"[..]));
        assert_eq!(ours.open(Purpose::Page, &text), None);
        for short in ["", "AAAA", &text[..text.len() / 2]] {
            assert_eq!(ours.open(Purpose::Link, short), None);
        }
        for i in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[i] = if changed[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(ours.open(Purpose::Link, &String::from_utf8(changed).expect("ascii")), None, "byte {i}");
        }
    }

    #[test]
    fn a_sealed_text_cannot_be_read_nor_compared() {
        let ours = secrets(&[1]);
        let payload = b"operator:17";
        let texts = [[5; 16], [6; 16]].map(|random| ours.seal(Purpose::Link, payload, random));
        assert_ne!(texts[0], texts[1], "two links of the same person for the same file");
        for text in texts {
            let sealed = BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64url");
            assert!(!sealed.windows(3).any(|part| payload.windows(3).any(|told| told == part)));
        }
    }

    #[test]
    fn an_old_secret_still_opens_until_it_is_removed() {
        let text = secrets(&[1]).seal(Purpose::Page, b"x", [5; 16]);
        assert!(secrets(&[2, 1]).open(Purpose::Page, &text).is_some());
        assert!(secrets(&[2]).open(Purpose::Page, &text).is_none());
    }

    #[test]
    fn secrets_are_replaced_in_all_clones_and_bad_ones_change_nothing() {
        let ours = secrets(&[1]);
        let (clone, text) = (ours.clone(), ours.seal(Purpose::Page, b"x", [5; 16]));
        assert!(!ours.replace(&[]) && !ours.replace(&[vec![2; 31]]));
        assert!(clone.open(Purpose::Page, &text).is_some());
        assert!(ours.replace(&[vec![2; 32]]));
        assert!(clone.open(Purpose::Page, &text).is_none());
    }

    #[test]
    fn each_secret_has_a_token_key_of_its_own_under_a_name_of_its_own() {
        let keys = token_keys(&[vec![1; 32], vec![2; 32]]);
        assert!(keys.iter().all(|k| k.kid.len() == 23 && k.kid.starts_with("lhfile.") && k.key.len() == 32));
        assert!(keys[0].kid != keys[1].kid && keys[0].key != keys[1].key);
        assert_eq!(token_keys(&[vec![2; 32]])[0].key, keys[1].key, "on every node the same");
    }

    #[test]
    fn short_secrets_are_not_taken_and_fields_do_not_run_together() {
        assert!(Secrets::new(&[vec![0; 31]]).is_none());
        assert!(Secrets::new(&[]).is_none());
        let ab = Fields::default().field(b"a").field(b"bc").done();
        assert_ne!(ab, Fields::default().field(b"ab").field(b"c").done());
        let mut reader = Reader(&ab);
        assert_eq!((reader.text(), reader.text(), reader.text()), (Some("a"), Some("bc"), None));
    }
}
