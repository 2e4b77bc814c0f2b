//! Every chapter, in the order of the book.

mod contention;
mod context;
mod crowd;
mod customer;
mod failures;
mod first_trace;
mod fix;
mod game_day;
mod hidden_sleep;
mod hunt;
mod kind;
mod kops;
mod kubernetes;
mod layers_below;
mod logs_and_mail;
mod lost_context;
#[cfg(test)]
mod made;
mod mesh;
#[cfg(test)]
mod presses;
mod redis;
mod stand_in;
mod waterfall;

use super::{Chapter, Stage};

/// In the order in which they are read.
pub const CHAPTERS: &[Chapter] = &[
    Chapter {
        number: 1,
        folder: "01-first-trace",
        title: "Ship your first trace",
        task: "send one span with curl, then a trace of a root and its child from a Rust program",
        needs: Stage::Backend,
        fast: true,
        check: first_trace::check,
    },
    Chapter {
        number: 2,
        folder: "02-waterfall",
        title: "One click, one trace",
        task: "press a button and name the service whose self time is the longest in its trace",
        needs: Stage::Sandbox("tracelab up --mystery none"),
        fast: false,
        check: waterfall::check,
    },
    Chapter {
        number: 3,
        folder: "03-context",
        title: "Carry the context",
        task: "make the spans of two services one trace",
        needs: Stage::Backend,
        fast: true,
        check: context::check,
    },
    Chapter {
        number: 4,
        folder: "04-hidden-sleep",
        title: "The hidden sleep",
        task: "press all buttons, find the service that sleeps, and guess it",
        needs: Stage::Sandbox(hidden_sleep::START),
        fast: true,
        check: hidden_sleep::check,
    },
    Chapter {
        number: 5,
        folder: "05-crowd",
        title: "The sleep in the crowd",
        task: "find the service that sleeps rarely, among 10,000 calls on random routes",
        needs: Stage::Sandbox(crowd::START),
        fast: true,
        check: crowd::check,
    },
    Chapter {
        number: 6,
        folder: "06-fix",
        title: "Fix it and prove it",
        task: "mend the culprit's code, put it in its place, and have traces from before and after",
        needs: Stage::Sandbox("tracelab up"),
        fast: true,
        check: fix::check,
    },
    Chapter {
        number: 7,
        folder: "07-failures",
        title: "Where a failure starts",
        task: "find the service that fails, and then the one that spoils what others do",
        needs: Stage::Sandbox(failures::START),
        fast: false,
        check: failures::check,
    },
    Chapter {
        number: 8,
        folder: "08-customer",
        title: "Which customer",
        task: "have baggage reach a span, and find the customer whose requests are slow and the service that makes them so",
        needs: Stage::Sandbox("tracelab up --mystery customer"),
        fast: true,
        check: customer::check,
    },
    Chapter {
        number: 9,
        folder: "09-contention",
        title: "Only slow when busy",
        task: "find the service that is quick alone and queues under load",
        needs: Stage::Sandbox(contention::START),
        fast: false,
        check: contention::check,
    },
    Chapter {
        number: 10,
        folder: "10-redis",
        title: "A slow store",
        task: "find the service that writes key by key, and replace it with one that uses a pipeline",
        needs: Stage::Redis,
        fast: false,
        check: redis::check,
    },
    Chapter {
        number: 11,
        folder: "11-lost-context",
        title: "The trace that breaks",
        task: "find the service that drops the context, and mend it",
        needs: Stage::Sandbox("tracelab up --mystery lost-context"),
        fast: true,
        check: lost_context::check,
    },
    Chapter {
        number: 12,
        folder: "12-logs-and-mail",
        title: "All logs of one trace, and a mail when it is slow",
        task: "be mailed about a slow trace, and name the service in which its time went",
        needs: Stage::Sandbox("tracelab up"),
        fast: false,
        check: logs_and_mail::check,
    },
    Chapter {
        number: 13,
        folder: "13-layers-below",
        title: "The layers below",
        task: "find time that is in nobody's service, and name the nginx that queues",
        needs: Stage::Edge,
        fast: false,
        check: layers_below::check,
    },
    Chapter {
        number: 14,
        folder: "14-kind",
        title: "Graduate to kind",
        task: "find the service that sleeps in a cluster, and roll out its version v2 without a failed call",
        needs: Stage::Kind(kind::START),
        fast: false,
        check: kind::check,
    },
    Chapter {
        number: 15,
        folder: "15-mesh",
        title: "A mesh",
        task: "have traces that only a mesh has seen, traces that the services have seen as well, and calls that went by their baggage",
        needs: Stage::Kind(mesh::START),
        fast: false,
        check: mesh::check,
    },
    Chapter {
        number: 16,
        folder: "16-kubernetes",
        title: "Kubernetes traces itself",
        task: "follow the start of a pod through API server, kubelet and containerd, and say who spent its time",
        needs: Stage::Kind(kubernetes::START),
        fast: false,
        check: kubernetes::check,
    },
    Chapter {
        number: 17,
        folder: "17-kops",
        title: "Graduate to kops",
        task: "find the service that fails, in a cluster that keeps its failures and a tenth of the rest",
        needs: Stage::Kops(kops::START),
        fast: false,
        check: kops::check,
    },
    Chapter {
        number: 18,
        folder: "18-game-day",
        title: "Game day",
        task: "run a game day of at least two rounds and two teams to its end",
        needs: Stage::GameDay,
        fast: false,
        check: game_day::check,
    },
];
