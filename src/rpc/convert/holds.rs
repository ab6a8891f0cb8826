//! Holds: what is to be held in, rows out.
//!
//! Not here: bounds of what is told (`domain/hold.rs`).

use super::{files::person, timestamp};
use crate::{
    app::HoldPage,
    domain::{self, Actor, HoldOn, Refusal},
    rpc::pb::{self, hold_target::On},
};

/// What a request names.
pub fn target(sent: pb::HoldTarget) -> Result<HoldOn, Refusal> {
    match sent.on {
        Some(On::FileId(id)) => Ok(HoldOn::File(id.parse()?)),
        Some(On::ChatId(id)) => Ok(HoldOn::Chat(id.parse()?)),
        Some(On::VisitorId(id)) => Ok(HoldOn::Visitor(id.parse()?)),
        Some(On::OperatorId(id)) => Ok(HoldOn::Operator(id.parse()?)),
        None => {
            Err(Refusal::argument("target", "target must be file_id, chat_id, visitor_id or operator_id: name one"))
        }
    }
}

/// A hold.
pub fn hold(hold: domain::Hold) -> pb::Hold {
    let domain::Hold { on, matter, put_by, put_at } = hold;
    let Actor { person: creator, acting_service: _ } = put_by;
    let on = match on {
        HoldOn::File(id) => On::FileId(id.to_string()),
        HoldOn::Chat(id) => On::ChatId(id.to_string()),
        HoldOn::Visitor(id) => On::VisitorId(id.to_string()),
        HoldOn::Operator(id) => On::OperatorId(id.to_string()),
    };
    pb::Hold {
        target: Some(pb::HoldTarget { on: Some(on) }),
        matter: matter.as_str().to_owned(),
        creator: creator.as_ref().map(person),
        create_time: Some(timestamp(put_at)),
    }
}

/// A page of holds.
pub fn page(page: HoldPage) -> pb::ListHoldsResponse {
    let HoldPage { holds, next_token } = page;
    pb::ListHoldsResponse { holds: holds.into_iter().map(hold).collect(), next_page_token: next_token }
}
