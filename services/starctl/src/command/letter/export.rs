//! `starctl dlq export`.

use std::path::Path;

use starbridge_proto::v1;

use super::file::{self, Writer};
use crate::cli::letter::SelectionArgs;
use crate::command::{Session, view};
use crate::exit;
use crate::output::failure::Failure;

/// How letters are written.
pub(super) struct Export<'a> {
    pub(super) out: &'a Path,
    pub(super) unmask: bool,
    pub(super) key: Option<&'a Path>,
    pub(super) reason: Option<&'a str>,
}

pub(super) async fn run(session: &Session, selection: &SelectionArgs, how: &Export<'_>) -> Result<u8, Failure> {
    let mut writer = Writer::begin(how.out, how.key.map(file::key).transpose()?)?;
    let selection = super::selection(selection);
    let request = v1::ExportDeadLettersRequest {
        selection: Some(selection.clone()),
        unmask: how.unmask,
        reason: how.reason.unwrap_or_default().to_owned(),
    };
    let opened = session.client.stream(request).await?;
    let mut stream = opened.map_err(|status| session.client.refused(&status))?;
    let mut written = 0;
    loop {
        let next = stream.message().await.map_err(|status| session.client.refused(&status))?;
        // A stream that ends before it told its end has lost something.
        let Some(piece) = next else { return Err(file::wrong(how.out, "the stream ended before the last letter")) };
        for line in &piece.lines {
            writer.add(line)?;
            written += 1;
        }
        match piece.count {
            None => {}
            Some(count) if count == written => break,
            Some(count) => return Err(file::wrong(how.out, format!("{written} letters came, of {count}"))),
        }
    }
    let header = writer.finish(&selection.selector)?;
    let value = serde_json::to_value(&header).expect("numbers and texts");
    session.output.one(&view::EXPORT, &value).map(|()| exit::DONE)
}
