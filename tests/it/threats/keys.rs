//! Opaque keys that are none: guessed, cut, changed, under another prefix, retired, and tokens that pretend to be one.

use tonic::{Code, Status};

use crate::harness::{
    Service, assert_refused,
    calls::request,
    keys::wanted,
    pb::{self, chat_service_client::ChatServiceClient},
    shared,
};

#[tokio::test(flavor = "multi_thread")]
async fn guessed_cut_changed_and_retired_keys_are_one_answer() {
    let node = shared().await;
    let admin = Service::all();
    let key = async || {
        let request = wanted("service:threatened", &["chat_sync"], &["*"]);
        node.create_key(request, &admin).await.expect("the backend may")
    };
    let ((good, _), (retired, gone)) = (key().await, key().await);
    node.retire_key(&gone.key_id, &admin).await.expect("the backend may");
    let mut chats = ChatServiceClient::new(node.channel());
    let mut call = async |credential: &str| -> Result<(), Status> {
        chats.list_chats(request(credential, pb::ListChatsRequest::default())).await.map(drop)
    };
    call(&good).await.expect("the good one");
    // With a good checksum, as who has read the source would guess.
    let guess = |random: [u8; 32]| {
        let bytes = [random.as_slice(), &crc_fast::crc32_iscsi(&random).to_be_bytes()].concat();
        format!("lhf_{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    };
    let mut cases = vec![
        ("guessed", guess([7; 32])),
        ("guessed nothing", guess([0; 32])),
        ("retired", retired),
        ("the id", gone.key_id.clone()),
        ("the id behind the prefix", format!("lhf_{}", gone.key_id)),
        ("the prefix alone", "lhf_".to_owned()),
        ("cut", good[..good.len() - 1].to_owned()),
        ("without its prefix", good[4..].to_owned()),
        ("another prefix", good.replace("lhf_", "ghp_")),
        ("upper case", good.to_uppercase()),
        ("twice", format!("{good}{good}")),
        ("a token behind the prefix", format!("lhf_{}", crate::harness::Caller::token(&admin))),
        ("long", format!("lhf_{}", "a".repeat(8_000))),
    ];
    for at in [4, 20, 61] {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
        cases.push(("a character changed", String::from_utf8(changed).expect("ASCII")));
    }
    let mut first = None;
    for (what, credential) in cases {
        let status = assert_refused(call(&credential).await, Code::Unauthenticated, "BAD_CREDENTIAL");
        let seen = (status.message().to_owned(), status.details().to_vec());
        assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen, "nothing is told: {what}");
    }
    call(&good).await.expect("the good one still");
}
