//! An answer that is held, or what a link gave: all of it, with its instructions.

use std::io::Read as _;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, HeaderMap};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::domain::Frame;
use crate::upstream::{AnswerBody, AnswerError, Upload};
use crate::wire::grip::{BadInstruct, Instruct, has_instruct_body};

/// The most bytes of a body that is held, or appended to a stream.
const MOST_BODY: usize = 4 << 20;

/// An answer whose instructions are read.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) instruct: Instruct,
    pub(super) status: StatusCode,
    /// Without what only says how the body came.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The body as it is sent to those who are given it unchanged, made once.
    frame: OnceLock<Frame>,
}

impl Held {
    /// The body, for a stream.
    pub(super) fn frame(&self) -> Frame {
        self.frame.get_or_init(|| Frame::new(&self.body)).clone()
    }
}

/// Why an answer cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Its instructions are wrong.
    #[error("the instructions are wrong")]
    Instruct(#[from] BadInstruct),
    /// Its body has the instructions, and its status says otherwise.
    #[error("instructions in the body of an answer with {0}")]
    Status(StatusCode),
    /// Its body is too long, or does not end in time.
    #[error("the body is longer than {MOST_BODY} bytes, or does not end in time")]
    Endless,
    /// Its body broke off.
    #[error("the body broke off")]
    Broken(#[from] AnswerError),
    /// Its body is compressed in a way that was not asked for, or wrongly.
    #[error("the body is compressed and cannot be read")]
    Coding,
}

/// All of an answer, with its instructions; and what the client is still sending of its request.
pub(super) async fn read(
    answer: Response<AnswerBody>,
    patience: Duration,
) -> Result<(Held, Option<Upload>), Unreadable> {
    let (parts, body) = answer.into_parts();
    let gathered = timeout(patience, gather(body)).await;
    let (mut body, upload) = gathered.map_err(|_| Unreadable::Endless)??;
    let (mut status, mut headers) = (parts.status, parts.headers);
    if let Some(coding) = headers.remove(CONTENT_ENCODING) {
        body = decode(coding.as_bytes(), body)?;
    }
    let instruct = if has_instruct_body(&headers) {
        if status != StatusCode::OK {
            return Err(Unreadable::Status(status));
        }
        let (instruct, response) = Instruct::of_body(&headers, &body)?;
        let (parts, said) = response.into_parts();
        (status, headers, body) = (parts.status, parts.headers, said);
        instruct
    } else {
        Instruct::of_headers(&headers)?
    };
    let held = Held {
        status: instruct.status.unwrap_or(status),
        instruct,
        headers,
        body,
        frame: OnceLock::new(),
    };
    Ok((held, upload))
}

async fn gather(mut body: AnswerBody) -> Result<(Bytes, Option<Upload>), Unreadable> {
    let upload = body.take_upload();
    body = match body.into_whole() {
        Ok(whole) if whole.len() <= MOST_BODY => return Ok((whole, upload)),
        Ok(_) => return Err(Unreadable::Endless),
        Err(body) => body,
    };
    let mut gathered = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = frame?.into_data().unwrap_or_default();
        if gathered.len() + data.len() > MOST_BODY {
            return Err(Unreadable::Endless);
        }
        gathered.extend_from_slice(&data);
    }
    Ok((gathered.freeze(), body.take_upload()))
}

/// Held bodies are never compressed; but Django may have compressed one before anybody knew.
fn decode(coding: &[u8], body: Bytes) -> Result<Bytes, Unreadable> {
    if body.is_empty() || coding.eq_ignore_ascii_case(b"identity") {
        return Ok(body);
    }
    if !coding.eq_ignore_ascii_case(b"gzip") {
        return Err(Unreadable::Coding);
    }
    let mut plain = Vec::new();
    let most = MOST_BODY as u64 + 1;
    flate2::read::MultiGzDecoder::new(&*body)
        .take(most)
        .read_to_end(&mut plain)
        .map_err(|_| Unreadable::Coding)?;
    if plain.len() > MOST_BODY {
        return Err(Unreadable::Endless);
    }
    Ok(plain.into())
}
