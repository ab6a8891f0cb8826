//! The two lists that a store of objects gives, page by page, asked for as they are: with times, with uploads in parts, and
//! with names that object_store would not take.
//!
//! An answer that says that there is more, and not from where on, is an error. Not here: what is ours of it (`walking.rs`,
//! `multiparts.rs`).

use std::{io, time::Duration};

use bytes::Bytes;
use http::Method;
use object_store::{
    aws::AmazonS3,
    client::{HttpClient, HttpConnector as _, HttpRequestBody, ReqwestConnector},
    path::Path,
    signer::{SignedUrlOptions, Signer as _},
};
use serde::Deserialize;

use super::{S3Place, broken, failed, place::ASKING};
use crate::{domain::Time, ports::BlobError};

/// How long the signature of a look holds.
const SIGNED_FOR: Duration = Duration::from_secs(60);
/// A look that fails is taken again so often, after a pause.
const RETRIES: u32 = 2;
const PAUSE: Duration = Duration::from_millis(300);

/// Who asks.
#[derive(Clone)]
pub(super) struct Asking {
    once: AmazonS3,
    http: HttpClient,
}

/// Objects, in the order of their names.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Objects {
    #[serde(default)]
    pub is_truncated: bool,
    #[serde(default)]
    encoding_type: Option<String>,
    #[serde(default)]
    pub contents: Vec<Object>,
}

/// One of them.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Object {
    pub key: String,
    pub last_modified: String,
    pub size: u64,
}

/// Uploads in parts, in the order of their names.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Uploads {
    #[serde(default)]
    pub is_truncated: bool,
    #[serde(default)]
    encoding_type: Option<String>,
    #[serde(default)]
    pub next_key_marker: Option<String>,
    #[serde(default)]
    pub next_upload_id_marker: Option<String>,
    #[serde(rename = "Upload", default)]
    pub uploads: Vec<Open>,
}

/// One of them.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Open {
    pub key: String,
    pub upload_id: String,
    #[serde(default)]
    pub initiated: Option<String>,
}

impl Asking {
    pub(super) fn new(place: &S3Place) -> Result<Self, BlobError> {
        let http = ReqwestConnector::default().connect(&place.client_options()).map_err(failed)?;
        Ok(Self { once: place.store_that_asks_once()?, http })
    }

    /// Objects whose names begin with a prefix, after one of them.
    pub(super) async fn objects(&self, prefix: &str, after: &str, limit: usize) -> Result<Objects, BlobError> {
        let most = limit.to_string();
        let mut query = vec![("encoding-type", "url"), ("list-type", "2"), ("max-keys", &most), ("prefix", prefix)];
        if !after.is_empty() {
            query.push(("start-after", after));
        }
        let body = self.asked(&query, "objects").await?;
        let mut list: Objects = quick_xml::de::from_reader(&body[..]).map_err(io::Error::other)?;
        if list.encoding_type.as_deref() == Some("url") {
            for object in &mut list.contents {
                object.key = decoded(&object.key)?;
            }
        }
        if list.is_truncated && list.contents.is_empty() {
            return Err(broken(
                io::ErrorKind::InvalidData,
                "the list of objects says that there is more, and has none",
            ));
        }
        Ok(list)
    }

    /// Uploads in parts to names that begin with a prefix, after one of them.
    pub(super) async fn uploads(&self, prefix: &str, after: (&str, &str), limit: usize) -> Result<Uploads, BlobError> {
        let most = limit.to_string();
        let mut query = vec![("encoding-type", "url"), ("max-uploads", &most), ("prefix", prefix), ("uploads", "")];
        let markers = [("key-marker", after.0), ("upload-id-marker", after.1)];
        query.extend(markers.into_iter().filter(|(_, marker)| !marker.is_empty()));
        let body = self.asked(&query, "uploads in parts").await?;
        let mut list: Uploads = quick_xml::de::from_reader(&body[..]).map_err(io::Error::other)?;
        if list.encoding_type.as_deref() == Some("url") {
            for key in list.uploads.iter_mut().map(|open| &mut open.key).chain(&mut list.next_key_marker) {
                *key = decoded(key)?;
            }
        }
        if list.is_truncated && list.next_key_marker.is_none() {
            return Err(broken(
                io::ErrorKind::InvalidData,
                "the list of uploads in parts does not say where it goes on",
            ));
        }
        Ok(list)
    }

    async fn asked(&self, query: &[(&str, &str)], what: &str) -> Result<Bytes, BlobError> {
        let mut tried = 0;
        loop {
            let asked = tokio::time::timeout(ASKING, self.ask(query, what)).await;
            match asked.unwrap_or_else(|_| Err(broken(io::ErrorKind::TimedOut, "no list of what is there"))) {
                Err(_) if tried < RETRIES => {
                    tried += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    async fn ask(&self, query: &[(&str, &str)], what: &str) -> Result<Bytes, BlobError> {
        let asked = SignedUrlOptions::new().with_query(query.iter().copied());
        let url = self.once.signed_url_opts(Method::GET, &Path::default(), SIGNED_FOR, &asked).await.map_err(failed)?;
        let request = http::Request::get(url.as_str()).body(HttpRequestBody::from(Bytes::new()));
        let answer = self.http.execute(request.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(io::Error::other)?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
            return Err(io::Error::other(format!("{what} are not listed: {status} {text}")).into());
        }
        Ok(body)
    }
}

/// A name that was encoded as those of a form are.
fn decoded(name: &str) -> Result<String, BlobError> {
    let wrong = || broken(io::ErrorKind::InvalidData, "a name in a list of the store cannot be read");
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().ok_or_else(wrong)?, rest.next().ok_or_else(wrong)?];
                let text = std::str::from_utf8(&digits).map_err(|_| wrong())?;
                u8::from_str_radix(text, 16).map_err(|_| wrong())?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// The moment that a list tells: `2026-11-27T22:55:37.000Z`.
pub(super) fn moment(text: &str) -> Result<Time, BlobError> {
    let read = || {
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && (0..=23).contains(&hour);
        (fits && (0..=59).contains(&minute) && (0..=60).contains(&second) && text.ends_with('Z')).then_some(())?;
        // Years that begin in March: the day that is not in each of them is their last.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
        Some(Time::from_secs(days * 86_400 + hour * 3_600 + minute * 60 + second))
    };
    read().ok_or_else(|| broken(io::ErrorKind::InvalidData, "a time in a list of the store cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_to_the_second_and_what_is_none_is_an_error() {
        for (text, secs) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-27T22:55:37.123Z", 1_795_820_137),
            ("2024-02-29T23:59:59.000Z", 1_709_251_199),
            ("2000-03-01T00:00:00.000Z", 951_868_800),
        ] {
            assert_eq!(moment(text).expect("a time"), Time::from_secs(secs), "{text}");
        }
        for text in ["", "2026", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "x026-01-01T00:00:00Z"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_a_list_are_decoded_and_half_of_one_is_an_error() {
        assert_eq!(decoded("p/a%20b%2Bc+d%F0%9F%A6%80").expect("a name"), "p/a b+c d🦀");
        for wrong in ["%", "%2", "%zz", "%ff"] {
            assert!(decoded(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_are_read_as_stores_write_them() {
        let text = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>\
                    <IsTruncated>true</IsTruncated><EncodingType>url</EncodingType><Contents><Key>a%2Fb</Key>\
                    <LastModified>2026-11-27T22:55:37.000Z</LastModified><Size>7</Size></Contents></ListBucketResult>";
        let list: Objects = quick_xml::de::from_str(text).expect("read");
        assert!(list.is_truncated && list.encoding_type.as_deref() == Some("url"));
        assert_eq!((list.contents.len(), list.contents[0].size), (1, 7));
        let text = "<ListMultipartUploadsResult><NextKeyMarker/><IsTruncated>false</IsTruncated><Upload><Key>k</Key>\
                    <UploadId>u</UploadId><Initiated>2026-11-27T22:55:37.000Z</Initiated></Upload><Upload><Key>l</Key>\
                    <UploadId>v</UploadId></Upload></ListMultipartUploadsResult>";
        let list: Uploads = quick_xml::de::from_str(text).expect("read");
        assert_eq!((list.is_truncated, list.uploads.len()), (false, 2));
        assert_eq!(list.uploads[1].initiated, None);
    }
}
