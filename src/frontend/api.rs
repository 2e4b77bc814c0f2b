//! The public API: paths, and the handlers that are a few lines each.

use std::collections::BTreeSet;
use std::convert::Infallible;

use clap::ValueEnum as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use subtle::ConstantTimeEq as _;
use url::Url;
use warp::reply::{Reply, Response};
use warp::{Filter, path};

use super::error::{ApiError, recover};
use super::fields::{Fields, fields};
use super::game::DEFAULT_TEAM;
use super::state::{self, MAX_SEED, Pick};
use super::{Frontend, Redeploy, Release, Version, page, program};
use crate::assets::File;
use crate::mystery::{Cause, Field, Guess};
use crate::server::Stop;
use crate::topology::ServiceName;

/// A customer's name in a guess is no novel.
const LONGEST_CUSTOMER: usize = 200;

/// Everything that the public port answers. `own` is the address at which this very frontend is reached, for runs.
pub(super) fn routes(
    frontend: &Frontend,
    own: Url,
    stop: Stop,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let with = |frontend: &Frontend| {
        let frontend = frontend.clone();
        warp::any().map(move || frontend.clone())
    };
    // hyper leaves the body out of what answers a HEAD.
    let reads = || warp::get().or(warp::head()).unify();
    let get = || with(frontend).and(reads()).and(warp::header::headers_cloned());
    let post = || with(frontend).and(warp::post()).and(warp::header::headers_cloned());

    // First, since it is asked a thousand times as often as all others.
    let press =
        path!("api" / "buttons" / String).and(post()).then(|button: String, frontend: Frontend, headers: HeaderMap| async move {
            finish(frontend.press(&button, &headers).await)
        });
    let start = path!("api" / "runs").and(post()).and(fields()).then(move |frontend: Frontend, headers: HeaderMap, fields| {
        let (own, stop) = (own.clone(), stop.clone());
        async move { finish(frontend.start_run(&own, &stop, &headers, fields).await) }
    });
    let cancel = path!("api" / "runs" / "cancel")
        .and(post())
        .and(fields())
        .then(|frontend: Frontend, headers: HeaderMap, fields| async move { finish(frontend.cancel_run(&headers, fields)) });
    let guess = path!("api" / "guess")
        .and(post())
        .and(fields())
        .then(|frontend: Frontend, headers: HeaderMap, fields| async move { finish(frontend.guess(&headers, fields).await) });
    let hint = path!("api" / "hint")
        .and(post())
        .and(fields())
        .then(|frontend: Frontend, headers: HeaderMap, fields| async move { finish(frontend.hint(&headers, fields).await) });
    let reveal = path!("api" / "reveal")
        .and(post())
        .and(fields())
        .then(|frontend: Frontend, headers: HeaderMap, fields| async move { finish(frontend.reveal(&headers, fields).await) });
    let mystery = path!("api" / "mystery")
        .and(post())
        .and(fields())
        .then(|frontend: Frontend, headers: HeaderMap, fields| async move { finish(frontend.new_mystery(&headers, fields).await) });
    let redeploy = path!("api" / "redeploy")
        .and(post())
        .and(fields())
        .map(|frontend: Frontend, headers: HeaderMap, fields| finish(frontend.redeploy(&headers, fields)));
    let day_start =
        path!("api" / "game-day").and(post()).and(fields()).then(|frontend: Frontend, headers: HeaderMap, fields| async move {
            finish(frontend.start_game_day(&headers, fields).await)
        });
    let day_next = path!("api" / "game-day" / "next")
        .and(post())
        .and(fields())
        .then(|frontend: Frontend, headers: HeaderMap, fields| async move { finish(frontend.next_round(&headers, fields).await) });
    let day_stop = path!("api" / "game-day" / "stop").and(post()).and(fields()).then(
        |frontend: Frontend, headers: HeaderMap, fields| async move { finish(frontend.stop_game_day(&headers, fields).await) },
    );
    let day = path!("api" / "game-day")
        .and(get())
        .then(|frontend: Frontend, headers: HeaderMap| async move { finish(frontend.game_day(&headers).await) });
    let day_results = path!("api" / "game-day" / "results")
        .and(get())
        .then(|frontend: Frontend, headers: HeaderMap| async move { finish(frontend.game_day_results(&headers).await) });
    let score = path!("api" / "score")
        .and(get())
        .then(|frontend: Frontend, headers: HeaderMap| async move { finish(frontend.score(&headers).await) });
    let topology =
        path!("api" / "topology").and(get()).map(|frontend: Frontend, headers: HeaderMap| finish(frontend.topology(&headers)));
    let trace = path!("api" / "traces" / String)
        .and(get())
        .then(|id: String, frontend: Frontend, headers: HeaderMap| async move { finish(frontend.trace(&id, &headers).await) });
    let map = path!("api" / "map")
        .and(get())
        .then(|frontend: Frontend, headers: HeaderMap| async move { finish(frontend.map(&headers).await) });
    let health = path!("healthz").or(path!("readyz")).unify().and(reads()).map(|| "ok\n".into_response());
    // The path comes before the method: another method is wrong only where there is something.
    let file = warp::path::full()
        .and_then(|path: warp::path::FullPath| std::future::ready(page::file(path.as_str()).ok_or_else(warp::reject::not_found)));
    let page = file.and(get()).map(|file: &'static File, frontend: Frontend, headers: HeaderMap| {
        finish(frontend.0.gate_reading(&headers).map(|()| page::answer(file, &headers)))
    });

    press
        .or(start.or(cancel).unify().boxed())
        .unify()
        .or(guess.or(hint).unify().or(reveal).unify().boxed())
        .unify()
        .or(mystery.or(redeploy).unify().boxed())
        .unify()
        .or(day_start.or(day_next).unify().or(day_stop).unify().or(day).unify().or(day_results).unify().boxed())
        .unify()
        .or(score.or(topology).unify().or(trace).unify().or(map).unify().boxed())
        .unify()
        .or(health.or(page).unify().boxed())
        .unify()
        .recover(recover)
        .unify()
}

/// A mystery that somebody may want.
#[derive(Debug, Serialize)]
struct Choice {
    pick: Pick,
    about: String,
    /// What a right guess names beside the cause; absent where that is secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<&'static [Field]>,
    /// Why it cannot be had here, and the way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    impossible: Option<String>,
}

impl Frontend {
    /// `{team?, cause?, service?, callee?, customer?}` → `{verdict, guesses, seconds, message, explanation?}`; the right
    /// one is explained.
    async fn guess(&self, headers: &HeaderMap, mut fields: Fields) -> Result<Response, ApiError> {
        self.0.gate(headers)?;
        let team = fields.take("team")?;
        let guess = Guess {
            cause: take_parsed(&mut fields, "cause", state::cause)?,
            service: take_parsed(&mut fields, "service", str::parse::<ServiceName>)?,
            callee: take_parsed(&mut fields, "callee", str::parse::<ServiceName>)?,
            customer: fields.take::<String>("customer")?.map(|customer| customer.trim().to_owned()),
        };
        fields.finish()?;
        if guess == Guess::default() {
            return Err(ApiError::bad_request("this guess names nothing; name a cause and a service, or the cause none"));
        }
        if guess.customer.as_ref().is_some_and(|customer| customer.chars().count() > LONGEST_CUSTOMER) {
            return Err(ApiError::bad_request(format!("customer is too long; at most {LONGEST_CUSTOMER} characters are possible")));
        }
        Ok(warp::reply::json(&self.0.game.guess(team, guess).await?).into_response())
    }

    /// `{team?}` → `{hint, of, text, services?, pairs?, customers?}`; pairs are `{service, callee}`.
    async fn hint(&self, headers: &HeaderMap, mut fields: Fields) -> Result<Response, ApiError> {
        self.0.gate(headers)?;
        let team = fields.take("team")?;
        fields.finish()?;
        Ok(warp::reply::json(&self.0.game.hint(team).await?).into_response())
    }

    /// `{team?}` → `{cause, service?, callee?, customer?, seed, explanation}`; without a team it ends the mystery for all.
    async fn reveal(&self, headers: &HeaderMap, mut fields: Fields) -> Result<Response, ApiError> {
        self.0.gate(headers)?;
        self.0.instructor(headers)?;
        let team = fields.take("team")?;
        fields.finish()?;
        Ok(warp::reply::json(&self.0.game.reveal(team).await?).into_response())
    }

    /// `{cause?, seed?}` → the score of the new mystery, and a `note` where it is not all that one may expect.
    async fn new_mystery(&self, headers: &HeaderMap, mut fields: Fields) -> Result<Response, ApiError> {
        self.0.gate(headers)?;
        self.0.instructor(headers)?;
        let pick = take_parsed(&mut fields, "cause", str::parse::<Pick>)?;
        let seed = fields.take_whole("seed", 0..=MAX_SEED)?;
        fields.finish()?;
        Ok(warp::reply::json(&self.0.game.new_mystery(pick, seed).await?).into_response())
    }

    /// `{service, version}` or `{service, url}` → the same, once that version, or the program at that URL, is in place.
    fn redeploy(&self, headers: &HeaderMap, mut fields: Fields) -> Result<Response, ApiError> {
        self.0.gate(headers)?;
        self.0.instructor(headers)?;
        let service = take_parsed(&mut fields, "service", str::parse::<ServiceName>)?;
        let version = take_parsed(&mut fields, "version", str::parse::<Version>)?;
        let url = take_parsed(&mut fields, "url", program)?;
        fields.finish()?;
        let (service, release) = match (service, version, url) {
            (Some(service), Some(version), None) => (service, Release::Version(version)),
            (Some(service), None, Some(url)) => (service, Release::Program(url)),
            _ => {
                let error = "redeploy takes a service and a version, v1 or v2, or the url of a program of your own";
                return Err(ApiError::bad_request(error));
            }
        };
        if !self.0.topology.contains(service) {
            return Err(ApiError::bad_request(format!("there is no service {service}; GET /api/topology lists them")));
        }
        match &self.0.redeploy {
            Redeploy::Elsewhere(how) => {
                let how = how.replace("{service}", &service.to_string());
                Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, how))
            }
            Redeploy::Here(redeploy) => {
                let what = match &release {
                    Release::Version(_) => "version",
                    Release::Program(_) => "url",
                };
                let answer = json!({ "service": service, what: release.to_string() });
                let conflict = |error: anyhow::Error| ApiError::new(StatusCode::CONFLICT, format!("{error:#}"));
                redeploy(service, release).map_err(conflict)?;
                Ok(warp::reply::json(&answer).into_response())
            }
        }
    }

    async fn score(&self, headers: &HeaderMap) -> Result<Response, ApiError> {
        self.0.gate_reading(headers)?;
        Ok(warp::reply::json(&self.0.game.score().await).into_response())
    }

    /// Names only: what runs, what a guess and the page may choose from, and where traces are looked at.
    fn topology(&self, headers: &HeaderMap) -> Result<Response, ApiError> {
        self.0.gate_reading(headers)?;
        let topology = self.0.topology;
        let picks = Cause::value_variants().iter().copied().map(Pick::Cause).chain([Pick::Random]);
        let mysteries = picks.map(|pick| Choice {
            pick,
            about: pick.about(),
            names: match pick {
                Pick::Cause(cause) => Some(cause.names()),
                Pick::Random => None,
            },
            impossible: self.0.game.check(pick).err().map(|reason| reason.to_string()),
        });
        let rounds = self.0.game.rounds();
        let customers: BTreeSet<String> = rounds.borrow().mystery.customers.shares().iter().map(|(name, _)| name.clone()).collect();
        Ok(warp::reply::json(&json!({
            "layers": topology.layers,
            "width": topology.width,
            "route": topology.route,
            "services": topology.services().collect::<Vec<_>>(),
            "jaeger": self.0.traces.links,
            "customers": customers,
            "mysteries": mysteries.collect::<Vec<_>>(),
            "team": DEFAULT_TEAM,
            "instructor": self.0.instructor_token.is_some(),
            "redeploy": matches!(self.0.redeploy, Redeploy::Here(_)),
        }))
        .into_response())
    }

    /// `{state: ready|pending|gone|unsampled|unreachable, url?, message}`.
    async fn trace(&self, id: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
        self.0.gate_reading(headers)?;
        Ok(warp::reply::json(&self.0.traces.state(id).await?).into_response())
    }

    /// `{state: ready|empty|away, traces, edges: [{from, to, calls, errors, p50_ms, p95_ms, p99_ms}], services: [{name, spans?, errors?}]}`.
    async fn map(&self, headers: &HeaderMap) -> Result<Response, ApiError> {
        self.0.gate_reading(headers)?;
        let since_ms = self.0.game.began_ms().await;
        let mut response = Response::new(self.0.map.answer(since_ms).await.into());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

impl super::Inner {
    /// What changes something comes from the page or from a program, not from another page.
    pub(super) fn gate(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        self.known()?.check_change(headers)
    }

    pub(super) fn gate_reading(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        self.known()?.check_host(headers)
    }

    fn known(&self) -> Result<&super::origin::Gate, ApiError> {
        self.gate.get().ok_or_else(|| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the frontend is only just starting"))
    }

    pub(super) fn instructor(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(token) = &self.instructor_token else { return Ok(()) };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match given.is_some_and(|given| bool::from(given.ct_eq(token.as_bytes()))) {
            true => Ok(()),
            false => {
                let error = "this needs the instructor's token, as the header \"authorization: Bearer TOKEN\"";
                Err(ApiError::new(StatusCode::UNAUTHORIZED, error))
            }
        }
    }
}

/// Takes a text field that stands for something.
pub(super) fn take_parsed<T, E: std::fmt::Display>(
    fields: &mut Fields,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, ApiError> {
    let Some(text) = fields.take::<String>(name)? else { return Ok(None) };
    parse(&text).map(Some).map_err(|error| ApiError::bad_request(format!("{name}: {error}")))
}

fn finish(result: Result<Response, ApiError>) -> Response {
    let mut response = result.unwrap_or_else(ApiError::into_response);
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::super::game::{Game, GameSettings};
    use super::super::origin::Gate;
    use super::super::{MAX_IN_FLIGHT, Settings};
    use super::*;
    use crate::mystery::Peers;
    use crate::redis::Redis;
    use crate::telemetry::{Exporter, Telemetry, TelemetrySettings};
    use crate::topology::{Route, Topology};

    #[tokio::test]
    async fn a_press_beyond_the_bound_is_told_to_come_again() {
        let topology = Topology::new(3, 6, Route::Straight).unwrap();
        let game = GameSettings {
            topology,
            mystery: Cause::Sleep.into(),
            seed: None,
            delay_scale: 0.0,
            state: None,
            redis: Redis::none(),
            replaced: BTreeSet::new(),
        };
        let telemetry = TelemetrySettings { traces: Exporter::None, ..TelemetrySettings::default() };
        let frontend = Frontend::new(
            Settings::default(),
            Game::open(&game).await.unwrap(),
            // Nobody listens there, which is a 502.
            &Peers::new(game.topology, |_| "http://127.0.0.1:9".to_owned()).unwrap(),
            Redeploy::Elsewhere(String::new()),
            &Telemetry::start(&telemetry, None).unwrap(),
            crate::outbound::client().unwrap(),
        );
        frontend.0.gate.get_or_init(|| Gate::new("127.0.0.1:80".parse().unwrap(), &[]));
        let routes = routes(&frontend, Url::parse("http://127.0.0.1").unwrap(), Stop::new());
        let press = || warp::test::request().method("POST").path("/api/buttons/0").header("host", "127.0.0.1").reply(&routes);

        let calls = frontend.0.in_flight.try_acquire_many(u32::try_from(MAX_IN_FLIGHT).unwrap()).unwrap();
        let refused = press().await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
        drop(calls);
        assert_eq!(press().await.status(), StatusCode::BAD_GATEWAY);
    }
}
