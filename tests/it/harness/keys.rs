//! Keys and tokens that a server makes, in one line each.

use tonic::Status;

use super::{
    Caller, Node,
    calls::request,
    pb::{self, CreateKeyRequest, Key},
};

/// A key for an hour.
pub fn wanted(subject: &str, permissions: &[&str], chats: &[&str]) -> CreateKeyRequest {
    let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    CreateKeyRequest {
        subject: subject.to_owned(),
        permissions: owned(permissions),
        chats: owned(chats),
        ttl: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
        ..CreateKeyRequest::default()
    }
}

impl Node {
    /// Makes a key: its secret, and what it is.
    pub async fn create_key(
        &self,
        wanted: CreateKeyRequest,
        caller: &(impl Caller + ?Sized),
    ) -> Result<(String, Key), Status> {
        let answer = self.access().create_key(request(caller, wanted)).await?.into_inner();
        Ok((answer.secret, answer.key.expect("every answer names it")))
    }

    /// The ids of the keys on the first page.
    pub async fn key_ids(&self, show_ended: bool, caller: &(impl Caller + ?Sized)) -> Result<Vec<String>, Status> {
        let list = pb::ListKeysRequest { show_ended, page_size: 500, page_token: String::new() };
        let answer = self.access().list_keys(request(caller, list)).await?.into_inner();
        Ok(answer.keys.into_iter().map(|key| key.key_id).collect())
    }

    /// Retires a key.
    pub async fn retire_key(&self, key_id: &str, caller: &(impl Caller + ?Sized)) -> Result<Key, Status> {
        let retire = pb::RetireKeyRequest { key_id: key_id.to_owned() };
        let answer = self.access().retire_key(request(caller, retire)).await?.into_inner();
        Ok(answer.key.expect("every answer names it"))
    }

    /// Makes a token for somebody.
    pub async fn mint(
        &self,
        subject: &str,
        permissions: &[&str],
        chats: &[&str],
        ttl: Option<i64>,
        caller: &(impl Caller + ?Sized),
    ) -> Result<pb::MintTokenResponse, Status> {
        let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
        let person =
            pb::ActAs { subject: subject.to_owned(), chats: owned(chats), permissions: owned(permissions), vid: None };
        let ttl = ttl.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        let mint = pb::MintTokenRequest { person: Some(person), ttl };
        Ok(self.access().mint_token(request(caller, mint)).await?.into_inner())
    }

    /// Whether a credential is believed by this server at all.
    pub async fn believes(&self, credential: &str) -> bool {
        let answer = self.chats().list_chats(request(credential, pb::ListChatsRequest::default())).await;
        !answer.is_err_and(|status| status.code() == tonic::Code::Unauthenticated)
    }
}
