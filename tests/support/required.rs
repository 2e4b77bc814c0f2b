//! What must not be skipped.

/// Whether `TRACELAB_REQUIRE`, a list with commas, names `what`: a test that lacks it then fails instead of skipping.
pub fn required(what: &str) -> bool {
    std::env::var("TRACELAB_REQUIRE").is_ok_and(|names| names.split(',').any(|name| name.trim() == what))
}
