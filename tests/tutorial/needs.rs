//! What the machine may lack: blocks that need it are then only checked, unless `TRACELAB_REQUIRE` names it.

use super::docker::Docker;
use super::required::required;
use super::smtp;

pub fn there_is(need: &str) -> bool {
    match need {
        "docker" => Docker::find().is_some(),
        "smtp" => smtp::is_there(),
        "redis" => {
            let found = tracelab::keeper::find("redis-server").is_some();
            assert!(found || !required("redis"), "TRACELAB_REQUIRE names redis, but redis-server is not in PATH");
            found
        }
        _ => panic!("nobody knows how to see whether {need:?} is there"),
    }
}
