//! What runs: layers of services and the routes between them.
//!
//! Names only. Where a service listens is known to the stage that started it, and what is wrong with it to `mystery`.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Larger topologies than this are a mistake in a flag, not a plan.
pub const MAX_LAYERS: u16 = 100;
/// See [`MAX_LAYERS`].
pub const MAX_WIDTH: u16 = 10_000;
/// See [`MAX_LAYERS`].
pub const MAX_SERVICES: u32 = 20_000;
/// One press of a button may become so many calls; more would take a laptop seconds each.
pub const MAX_CALLS: u64 = 25_000;
/// On route `all`, one request has at most this many calls running: a fan-out of a fan-out multiplies, and every call is a
/// connection.
pub const FAN_OUT: u16 = 4;

/// `layers` × `width` services and the way a request takes through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    pub layers: u16,
    pub width: u16,
    pub route: Route,
}

/// How a service picks the services of the next layer that it calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// service n calls service n of the next layer
    #[default]
    Straight,
    /// one service of the next layer, drawn for each request
    Random,
    /// every service of the next layer (fan-out)
    All,
}

/// `dummy-<layer>-<number>`, both counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    pub layer: u16,
    pub number: u16,
}

/// A topology nobody can run; the text names the setting.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TopologyError {
    #[error(
        "layers is {0}; it must be between 1 and {MAX_LAYERS}, since a call waits for one after the other: raise width instead"
    )]
    Layers(u16),
    #[error("width is {0}; it must be between 1 and {MAX_WIDTH}")]
    Width(u16),
    #[error("layers × width is {0} services; at most {MAX_SERVICES} are possible: lower layers or width")]
    Services(u32),
    #[error("on route all, {0} layers of {1} make {2} calls of one press; at most {MAX_CALLS} are possible: lower layers or width")]
    Calls(u16, u16, u64),
}

/// Not of the form `dummy-<layer>-<number>`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a service name; services are called dummy-<layer>-<number>, for example dummy-1-17")]
pub struct NotAServiceName(String);

impl Topology {
    pub fn new(layers: u16, width: u16, route: Route) -> Result<Self, TopologyError> {
        if !(1..=MAX_LAYERS).contains(&layers) {
            return Err(TopologyError::Layers(layers));
        }
        if !(1..=MAX_WIDTH).contains(&width) {
            return Err(TopologyError::Width(width));
        }
        let services = u32::from(layers) * u32::from(width);
        if services > MAX_SERVICES {
            return Err(TopologyError::Services(services));
        }
        let topology = Self { layers, width, route };
        match topology.calls() {
            calls if calls > MAX_CALLS => Err(TopologyError::Calls(layers, width, calls)),
            _ => Ok(topology),
        }
    }

    /// How many services one press of a button calls.
    pub fn calls(self) -> u64 {
        let factor = if self.route == Route::All { u64::from(self.width) } else { 1 };
        let layer = |calls: u64| calls.saturating_mul(factor);
        std::iter::successors(Some(1), |calls| Some(layer(*calls))).take(self.layers.into()).fold(0, u64::saturating_add)
    }

    /// How many services of `layer` a press of a button waits for one after the other, if each call of it waits for one of them: on
    /// route `all` callers take the next layer in rows of [`FAN_OUT`].
    pub fn rows(self, layer: u16) -> u32 {
        let rows = if self.route == Route::All { u32::from(self.width.div_ceil(FAN_OUT)) } else { 1 };
        rows.saturating_pow(layer.into())
    }

    /// Every service, layer by layer.
    pub fn services(self) -> impl Iterator<Item = ServiceName> {
        (0..self.layers).flat_map(move |layer| self.layer(layer))
    }

    /// The services of one layer.
    pub fn layer(self, layer: u16) -> impl Iterator<Item = ServiceName> {
        (0..self.width).map(move |number| ServiceName { layer, number })
    }

    pub fn contains(self, service: ServiceName) -> bool {
        service.layer < self.layers && service.number < self.width
    }

    /// The service that button `button` calls, if there is such a button.
    pub fn button(self, button: u16) -> Option<ServiceName> {
        let service = ServiceName { layer: 0, number: button };
        self.contains(service).then_some(service)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Route::Straight => "straight",
            Route::Random => "random",
            Route::All => "all",
        })
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dummy-{}-{}", self.layer, self.number)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ServiceName {
    type Err = NotAServiceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (layer, number) = text.strip_prefix("dummy-")?.split_once('-')?;
            let service = ServiceName { layer: layer.parse().ok()?, number: number.parse().ok()? };
            // "dummy-01-+3" parses as numbers but is nobody's name.
            (service.to_string() == text).then_some(service)
        };
        parse().ok_or_else(|| NotAServiceName(text.to_owned()))
    }
}

impl Serialize for ServiceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServiceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_itself_and_nothing_else_does() {
        let service = ServiceName { layer: 1, number: 17 };
        assert_eq!(service.to_string().parse(), Ok(service));
        for text in ["", "dummy", "dummy-1", "dummy-1-17-2", "dummy--1-1", "dummy-01-2", "dummy-1-+7", "Dummy-1-7", "dummy-1-99999"]
        {
            assert!(text.parse::<ServiceName>().is_err(), "{text:?} is no service name");
        }
    }

    #[test]
    fn services_are_counted_layer_by_layer_and_buttons_are_those_of_layer_0() {
        let topology = Topology::new(3, 30, Route::Straight).unwrap();
        assert_eq!(topology.services().count(), 90);
        assert_eq!(topology.services().nth(47), Some(ServiceName { layer: 1, number: 17 }));
        assert_eq!(topology.button(29), Some(ServiceName { layer: 0, number: 29 }));
        assert_eq!(topology.button(30), None);
    }

    #[test]
    fn absurd_sizes_name_the_setting() {
        assert_eq!(Topology::new(0, 30, Route::Straight), Err(TopologyError::Layers(0)));
        assert_eq!(Topology::new(3, 0, Route::Straight), Err(TopologyError::Width(0)));
        assert_eq!(Topology::new(100, 10_000, Route::Straight), Err(TopologyError::Services(1_000_000)));
        assert_eq!(Topology::new(6, 10, Route::All), Err(TopologyError::Calls(6, 10, 111_111)));
        assert_eq!(Topology::new(100, 100, Route::All), Err(TopologyError::Calls(100, 100, u64::MAX)));
    }

    #[test]
    fn a_press_calls_one_service_a_layer_or_all_that_fan_out() {
        assert_eq!(Topology::new(3, 30, Route::Straight).unwrap().calls(), 3);
        assert_eq!(Topology::new(3, 30, Route::Random).unwrap().calls(), 3);
        assert_eq!(Topology::new(3, 30, Route::All).unwrap().calls(), 1 + 30 + 900);
    }
}
