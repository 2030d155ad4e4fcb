//! `BackfillService`, answered from the desk's fixed content.

use std::pin::Pin;

use starbridge_proto::v1::*;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::{Desk, at};

type Answer<T> = Result<Response<T>, Status>;

fn backfill(id: &str, status: BackfillStatus, chunks_read: i64) -> Backfill {
    let over = status == BackfillStatus::Done || status == BackfillStatus::Cancelled;
    Backfill {
        id: id.to_owned(),
        flow: "misc-inbound".to_owned(),
        status: status.into(),
        from: at(1_767_139_200),
        to: at(1_767_398_400),
        chunk_seconds: 86_400,
        rate_per_minute: 600,
        again: true,
        chunks: 3,
        chunks_read,
        read_to: at(1_767_139_200 + chunks_read * 86_400),
        emitted: 100 * chunks_read,
        unchanged: 7,
        letters: i64::from(id.ends_with("letters")),
        created_by: "ada".to_owned(),
        created_at: at(1_767_229_200),
        reason: "补录".to_owned(),
        ended_at: if over { at(1_767_229_300) } else { None },
        fault: String::new(),
        waits_for: if status == BackfillStatus::Paused { "a person resumes it".to_owned() } else { String::new() },
    }
}

#[tonic::async_trait]
impl backfill_service_server::BackfillService for Desk {
    async fn start_backfill(&self, request: Request<StartBackfillRequest>) -> Answer<StartBackfillResponse> {
        let request = self.take("start_backfill", request).await?;
        let dry_run = request.change.as_ref().is_some_and(|change| change.dry_run);
        let id = format!("{}:1", request.flow);
        let begun = (!dry_run).then(|| backfill(&id, BackfillStatus::Running, 0));
        Ok(Response::new(StartBackfillResponse { chunks: 3, backfill: begun }))
    }

    async fn list_backfills(&self, request: Request<ListBackfillsRequest>) -> Answer<ListBackfillsResponse> {
        self.take("list_backfills", request).await?;
        let backfills = vec![
            backfill("misc-inbound:2", BackfillStatus::Paused, 1),
            backfill("misc-inbound:1", BackfillStatus::Done, 3),
        ];
        Ok(Response::new(ListBackfillsResponse { backfills, next_page_token: String::new() }))
    }

    async fn get_backfill(&self, request: Request<GetBackfillRequest>) -> Answer<GetBackfillResponse> {
        let request = self.take("get_backfill", request).await?;
        let backfill = Some(backfill(&request.id, BackfillStatus::Running, 2));
        Ok(Response::new(GetBackfillResponse { backfill }))
    }

    type WatchBackfillStream = Pin<Box<dyn Stream<Item = Result<WatchBackfillResponse, Status>> + Send>>;

    async fn watch_backfill(&self, request: Request<WatchBackfillRequest>) -> Answer<Self::WatchBackfillStream> {
        let request = self.take("watch_backfill", request).await?;
        let last = match request.id.ends_with("cancelled") {
            true => BackfillStatus::Cancelled,
            false => BackfillStatus::Done,
        };
        let seen = [(BackfillStatus::Running, 0), (BackfillStatus::Paused, 2), (last, 3)];
        let seen: Vec<_> = seen
            .into_iter()
            .map(|(status, read)| Ok(WatchBackfillResponse { backfill: Some(backfill(&request.id, status, read)) }))
            .collect();
        let seen = tokio_stream::iter(seen);
        Ok(Response::new(match request.id.starts_with("endless") {
            true => Box::pin(seen.take(1).chain(tokio_stream::pending())),
            false => Box::pin(seen),
        }))
    }

    async fn pause_backfill(&self, request: Request<PauseBackfillRequest>) -> Answer<PauseBackfillResponse> {
        let request = self.take("pause_backfill", request).await?;
        let backfill = Some(backfill(&request.id, BackfillStatus::Paused, 1));
        Ok(Response::new(PauseBackfillResponse { backfill }))
    }

    async fn resume_backfill(&self, request: Request<ResumeBackfillRequest>) -> Answer<ResumeBackfillResponse> {
        let request = self.take("resume_backfill", request).await?;
        let backfill = Some(backfill(&request.id, BackfillStatus::Running, 1));
        Ok(Response::new(ResumeBackfillResponse { backfill }))
    }

    async fn cancel_backfill(&self, request: Request<CancelBackfillRequest>) -> Answer<CancelBackfillResponse> {
        let request = self.take("cancel_backfill", request).await?;
        let backfill = Some(backfill(&request.id, BackfillStatus::Cancelled, 1));
        Ok(Response::new(CancelBackfillResponse { backfill }))
    }
}
