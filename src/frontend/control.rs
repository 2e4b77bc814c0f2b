//! The control port: tells each service elsewhere what it is to do, as soon as that changes.
//!
//! No stage publishes it: whoever reads all assignments knows the culprit.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use warp::reply::{Response, json};
use warp::{Filter, Reply};

use super::error::{ApiError, recover};
use super::game::{Game, Round};
use crate::mystery::{Assignment, Peers};
use crate::server::Stop;
use crate::topology::ServiceName;

/// A service that is up to date hears nothing for so long, then that nothing changed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
struct Known {
    #[serde(default)]
    version: String,
}

#[derive(Debug, Serialize)]
struct Current<'a> {
    version: &'a str,
    assignment: Assignment,
}

/// `GET /assignments/{service}?version=V` answers `{version, assignment}`: at once where V is not the current version, else when
/// that changes or after 30 s. `/healthz` and `/readyz` answer 200.
pub(super) fn routes(
    game: Game,
    peers: Arc<Peers>,
    stop: Stop,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let assignments =
        warp::path!("assignments" / String).and(warp::get()).and(warp::query()).then(move |service: String, known: Known| {
            let (game, peers, stop) = (game.clone(), Arc::clone(&peers), stop.clone());
            async move {
                let answer = assignment(&game, &peers, &stop, &service, &known.version).await;
                answer.unwrap_or_else(ApiError::into_response)
            }
        });
    let health = warp::path!("healthz").or(warp::path!("readyz")).unify().map(|| "ok\n".into_response());
    assignments.or(health).unify().recover(recover).unify()
}

async fn assignment(game: &Game, peers: &Peers, stop: &Stop, service: &str, known: &str) -> Result<Response, ApiError> {
    let not_found = |error: &dyn std::fmt::Display| ApiError::new(StatusCode::NOT_FOUND, error.to_string());
    let service: ServiceName = service.parse().map_err(|error| not_found(&error))?;
    let topology = game.topology();
    if !topology.contains(service) {
        let (layers, width) = (topology.layers, topology.width);
        return Err(not_found(&format!("{service} is not part of the topology of {layers} layers × {width} services")));
    }
    let mut rounds = game.rounds();
    let changed = tokio::time::timeout(LONGEST_WAIT, rounds.wait_for(|round| round.version != known));
    tokio::select! {
        _ = changed => {}
        () = stop.stopped() => {}
    }
    let round: Arc<Round> = Arc::clone(&game.rounds().borrow());
    let assignment = round.mystery.assignment(service, peers, round.redis.as_ref());
    Ok(json(&Current { version: &round.version, assignment }).into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::game::GameSettings;
    use super::*;
    use crate::mystery::Cause;
    use crate::redis::Redis;
    use crate::topology::{Route, Topology};

    async fn game() -> Game {
        let topology = Topology::new(3, 30, Route::Straight).unwrap();
        let redis = Redis::none();
        let settings = GameSettings {
            topology,
            mystery: Cause::Sleep.into(),
            seed: None,
            delay_scale: 1.0,
            state: None,
            redis,
            replaced: BTreeSet::new(),
        };
        Game::open(&settings).await.unwrap()
    }

    async fn poll(game: &Game, path: &str) -> (StatusCode, serde_json::Value) {
        let peers = Peers::new(game.topology(), |name| format!("http://{name}:8080")).unwrap();
        let routes = routes(game.clone(), Arc::new(peers), Stop::new());
        let answer = warp::test::request().path(path).reply(&routes).await;
        (answer.status(), serde_json::from_slice(answer.body()).unwrap())
    }

    #[tokio::test]
    async fn a_service_is_told_its_assignment_and_where_its_peers_are() {
        let game = game().await;
        let (status, answer) = poll(&game, "/assignments/dummy-1-17?version=").await;
        assert_eq!(status, StatusCode::OK);
        let assignment: Assignment = serde_json::from_value(answer["assignment"].clone()).unwrap();
        assert_eq!(assignment.service.to_string(), "dummy-1-17");
        assert_eq!(assignment.next[0].url.as_str(), "http://dummy-2-17:8080/");
        assert_eq!(answer["version"], game.rounds().borrow().version);
    }

    #[tokio::test]
    async fn an_unknown_service_is_a_404_that_names_it() {
        for (service, says) in
            [("dummy-3-0", "dummy-3-0 is not part of the topology"), ("checkout", "\"checkout\" is not a service")]
        {
            let (status, answer) = poll(&game().await, &format!("/assignments/{service}")).await;
            assert_eq!(status, StatusCode::NOT_FOUND);
            assert!(answer["error"].as_str().unwrap().starts_with(says), "{answer}");
        }
        assert_eq!(poll(&game().await, "/api/reveal").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_a_new_mystery() {
        let game = game().await;
        let version = game.rounds().borrow().version.clone();
        let path = format!("/assignments/dummy-0-0?version={version}");
        let waiting = poll(&game, &path);
        let starting = async {
            // The poll is asked first, so that it waits by now.
            tokio::task::yield_now().await;
            game.new_mystery(None, None).await.unwrap()
        };
        let ((status, answer), _) = tokio::join!(waiting, starting);
        assert_eq!(status, StatusCode::OK);
        assert_ne!(answer["version"], version);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_30_seconds_hears_that_nothing_changed() {
        let game = game().await;
        let version = game.rounds().borrow().version.clone();
        let asked = tokio::time::Instant::now();
        let (_, answer) = poll(&game, &format!("/assignments/dummy-0-0?version={version}")).await;
        assert_eq!(answer["version"], version);
        assert_eq!(asked.elapsed().as_secs(), 30);
    }
}
