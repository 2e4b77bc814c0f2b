//! What breaks each rule, once or in several ways: a rule that finds nothing wrong would be none.

/// What breaks a rule: an object, a place in it, and what stands there then (nothing, where it is null; `THIS => THAT` changes a
/// part of a text). `pod` is `spec/template/spec`, and `container` the first of its containers. Of objects that both stages have,
/// kind's is meant, unless `kops: ` stands before it or the rule is of kops alone.
pub type Break = (&'static str, &'static str, &'static str);

pub const BREAKS: &[(&str, &[Break])] = &[
    (
        "the namespace refuses what is not restricted",
        &[("Namespace tracelab", "metadata/labels/pod-security.kubernetes.io~1enforce", r#""baseline""#)],
    ),
    ("all is in one namespace", &[("Service jaeger", "metadata/namespace", r#""default""#)]),
    (
        "no pod runs as root",
        &[
            ("Deployment frontend", "pod/securityContext/runAsUser", "0"),
            ("Deployment frontend", "pod/securityContext/runAsNonRoot", "null"),
            ("Deployment frontend", "container/securityContext/runAsNonRoot", "false"),
            ("StatefulSet kafka", "pod/initContainers/0/securityContext", r#"{"runAsUser": 0}"#),
        ],
    ),
    ("every pod has the runtime's seccomp profile", &[("Deployment dummy-1-17", "pod/securityContext/seccompProfile", "null")]),
    (
        "no container gains a privilege",
        &[
            ("Deployment dummy-1-17", "container/securityContext/allowPrivilegeEscalation", "null"),
            ("Deployment dummy-1-17", "container/securityContext/capabilities/drop", r#"["NET_RAW"]"#),
            ("Deployment dummy-1-17", "pod/initContainers", r#"[{"name": "first"}]"#),
        ],
    ),
    ("no container writes to its image", &[("Deployment jaeger", "container/securityContext/readOnlyRootFilesystem", "false")]),
    (
        "no pod has anything of its node",
        &[
            ("Deployment jaeger", "pod/hostNetwork", "true"),
            ("Deployment jaeger", "container/ports/0/hostPort", "16686"),
            ("Deployment jaeger", "pod/volumes/0", r#"{"name": "tmp", "hostPath": {"path": "/"}}"#),
        ],
    ),
    ("no pod has a token", &[("Deployment frontend", "pod/automountServiceAccountToken", "null")]),
    ("no pod has variables of Services", &[("Deployment frontend", "pod/enableServiceLinks", "null")]),
    ("every container requests CPU and memory", &[("Deployment dummy-2-3", "container/resources/requests/cpu", "null")]),
    (
        "every container's memory is limited",
        &[
            ("Deployment dummy-2-3", "container/resources/limits", "null"),
            ("CronJob jaeger-dependencies", "spec/jobTemplate/spec/template/spec/containers/0/resources/limits", "null"),
        ],
    ),
    ("no container's CPU is limited", &[("Deployment dummy-2-3", "container/resources/limits/cpu", r#""100m""#)]),
    (
        "every container with a port is probed there",
        &[
            ("Deployment jaeger", "container/livenessProbe", "null"),
            ("Deployment jaeger", "container/startupProbe/httpGet/port", r#""http""#),
        ],
    ),
    (
        "every image has a version",
        &[
            ("Deployment jaeger", "container/image", r#""localhost:5000/jaeger""#),
            ("Deployment jaeger", "container/image", r#""jaeger:latest""#),
            ("Deployment door", "container/image", r#""nginx:stable""#),
        ],
    ),
    (
        "what a pod refers to is there",
        &[
            ("Deployment jaeger", "container/envFrom/0/configMapRef/name", r#""jaegr""#),
            ("Deployment jaeger", "pod/volumes/0", r#"{"name": "tmp", "configMap": {"name": "gone"}}"#),
            ("Deployment jaeger", "pod/volumes/0/name", r#""temp""#),
            (
                "Deployment frontend",
                "container/env/0",
                r#"{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}"#,
            ),
            ("Deployment door", "pod/volumes/1/secret/secretName", r#""certificate""#),
            ("Deployment door", "pod/volumes/2/secret/items/0/key", r#""htpasswd""#),
            ("Job cassandra-schema", "container/env/0/valueFrom/secretKeyRef/key", r#""name""#),
            ("kops: Deployment frontend", "pod/volumes/0", r#"{"name": "state", "persistentVolumeClaim": {"claimName": "state"}}"#),
            ("StatefulSet cassandra", "spec/volumeClaimTemplates/0/metadata/name", r#""disk""#),
        ],
    ),
    (
        "every Service leads to one workload",
        &[
            ("Service dummy-0-4", "spec/selector", r#"{"app.kubernetes.io/component": "service"}"#),
            ("Service dummy-0-4", "spec/selector", "null"),
            ("Service dummy-0-4", "spec/ports/0/targetPort", r#""control""#),
            ("Service jaeger-aggregator", "spec/ports/0/targetPort", r#""otlp""#),
        ],
    ),
    (
        "no port of the nodes is taken twice",
        &[("Service jaeger-ui", "spec/ports/0/nodePort", "30080"), ("Service jaeger-ui", "spec/ports/0/nodePort", "null")],
    ),
    (
        "what is applied again is not changed again",
        &[
            ("NetworkPolicy services", "spec/egress/0/ports/0/protocol", "null"),
            ("Deployment gateway", "spec/strategy/type", "null"),
            ("Deployment door", "spec/strategy/type", "null"),
        ],
    ),
    (
        "every object is a part of the stage",
        &[
            ("NetworkPolicy names", "metadata/labels", "null"),
            ("Deployment dummy-0-4", "spec/template/metadata/labels/app.kubernetes.io~1part-of", "null"),
        ],
    ),
    (
        "labels and names agree",
        &[
            ("Deployment dummy-0-4", "spec/template/metadata/labels/app.kubernetes.io~1name", r#""dummy-0-5""#),
            ("Deployment jaeger", "spec/template/metadata/labels/app.kubernetes.io~1component", r#""service""#),
            ("Deployment dummy-0-4", "spec/selector/matchLabels/app.kubernetes.io~1version", r#""v1""#),
            ("Job load", "spec/template/metadata/labels/app.kubernetes.io~1component", r#""tester""#),
        ],
    ),
    (
        "labels and images agree about the version",
        &[
            ("Deployment dummy-0-4", "spec/template/metadata/labels/app.kubernetes.io~1version", r#""v2""#),
            ("Deployment frontend", "container/image", r#""tracelab:0.0.1""#),
        ],
    ),
    (
        "nothing tells the culprit from the others",
        &[
            ("Deployment dummy-2-29", "container/env/0/value", r#""http://frontend-control:8081/""#),
            ("Deployment dummy-2-29", "metadata/annotations", r#"{"slow": "true"}"#),
        ],
    ),
    (
        "nobody but the frontend knows the answer",
        &[("Deployment dummy-2-29", "container/env/0", r#"{"name": "TRACELAB_SEED", "value": "7"}"#)],
    ),
    ("nobody may speak to anybody but by a policy", &[("NetworkPolicy nobody", "spec/policyTypes", r#"["Ingress"]"#)]),
    (
        "nobody may speak to the world",
        &[
            ("NetworkPolicy traces", "spec/egress/0/to", "null"),
            ("NetworkPolicy names", "spec/egress/0/to/1/ipBlock/cidr", r#""::/0""#),
            ("NetworkPolicy door", "spec/egress/0/to", "null"),
        ],
    ),
    (
        "a policy's selectors select something",
        &[
            ("NetworkPolicy traces", "spec/egress/0/to/0/podSelector/matchLabels", r#"{"app.kubernetes.io/name": "jeager"}"#),
            ("NetworkPolicy frontend", "spec/podSelector", r#"{"matchLabels": {"app.kubernetes.io/name": "front"}}"#),
            (
                "NetworkPolicy cassandra",
                "spec/ingress/1/from/0/podSelector/matchLabels",
                r#"{"app.kubernetes.io/name": "casandra"}"#,
            ),
        ],
    ),
    (
        "a policy's ports are ports of its pods",
        &[
            ("NetworkPolicy services", "spec/egress/1/ports/0/port", "8082"),
            ("NetworkPolicy services", "spec/ingress/0/ports/0/port", r#""web""#),
            ("NetworkPolicy kafka", "spec/ingress/1/ports/2/port", "9095"),
        ],
    ),
    (
        "who shall be reached is reached, and nobody else",
        &[
            ("NetworkPolicy frontend", "spec/ingress/1/from", "null"),
            ("NetworkPolicy frontend", "spec/ingress/0/ports", "null"),
            ("NetworkPolicy services", "spec/ingress/0/from/0", r#"{"podSelector": {}}"#),
            ("NetworkPolicy jaeger", "spec/ingress/1/from", "null"),
            ("NetworkPolicy frontend", "spec/policyTypes", r#"["Ingress"]"#),
            ("NetworkPolicy services", "spec/egress", "null"),
            ("NetworkPolicy gateway", "spec/ingress/0/from", "null"),
            ("NetworkPolicy edge", "spec/ingress", "null"),
            ("NetworkPolicy frontend-to-gateway", "spec/egress", "null"),
            ("NetworkPolicy redis", "spec/ingress/0/from", "null"),
            ("NetworkPolicy mailpit", "spec/ingress/0/ports/0/port", "8025"),
            ("NetworkPolicy cluster-traces", "spec/ingress", "null"),
            ("kops: NetworkPolicy frontend", "spec/ingress/0/from", "null"),
            ("kops: NetworkPolicy frontend", "spec/ingress/1/from/0", r#"{"podSelector": {}}"#),
            ("kops: NetworkPolicy services", "spec/ingress/0/from", "null"),
            ("kops: NetworkPolicy traces", "spec/egress", "null"),
            ("NetworkPolicy jaeger-agent", "spec/ingress/0/from", "null"),
            (
                "NetworkPolicy jaeger-agent",
                "spec/ingress/0/from/0/podSelector",
                r#"{"matchLabels": {"app.kubernetes.io/component": "service"}}"#,
            ),
            ("NetworkPolicy jaeger-aggregator", "spec/ingress/0/from/0", r#"{"podSelector": {}}"#),
            ("NetworkPolicy jaeger-aggregator", "spec/ingress/0/ports/0/port", "13133"),
            (
                "NetworkPolicy jaeger-collector",
                "spec/ingress/0/from/0/podSelector/matchLabels",
                r#"{"app.kubernetes.io/component": "tracing"}"#,
            ),
            ("NetworkPolicy jaeger-collector", "spec/egress", "null"),
            ("NetworkPolicy jaeger-ingester", "spec/egress/0/ports/0/port", "9093"),
            ("NetworkPolicy jaeger-query", "spec/ingress/0/from", "null"),
            (
                "NetworkPolicy jaeger-query",
                "spec/ingress/0/from/0/podSelector/matchExpressions/0/values",
                r#"["door", "frontend", "service"]"#,
            ),
            (
                "NetworkPolicy kafka",
                "spec/ingress/0/from/0/podSelector/matchExpressions/0/values",
                r#"["jaeger-collector", "jaeger-ingester", "kafka-topics", "jaeger-query"]"#,
            ),
            ("NetworkPolicy kafka", "spec/ingress/1/from/0", r#"{"podSelector": {}}"#),
            ("NetworkPolicy kafka", "spec/egress/0/ports/1/port", "9092"),
            ("NetworkPolicy kafka-topics", "spec/egress", "null"),
            ("NetworkPolicy cassandra", "spec/ingress/0/from", "null"),
            ("NetworkPolicy cassandra", "spec/ingress/1/from/0", r#"{"podSelector": {}}"#),
            (
                "NetworkPolicy to-cassandra",
                "spec/podSelector/matchExpressions/0/values",
                r#"["jaeger-ingester", "jaeger-query", "cassandra-schema"]"#,
            ),
            ("NetworkPolicy opensearch", "spec/ingress/0/ports", "null"),
            ("NetworkPolicy to-opensearch", "spec/egress", "null"),
            ("NetworkPolicy door", "spec/ingress", "null"),
            ("NetworkPolicy door", "spec/egress/1/ports/0/port", "4317"),
            ("NetworkPolicy load-to-frontend", "spec/ingress/0/from", "null"),
            ("NetworkPolicy load", "spec/egress", "null"),
        ],
    ),
    (
        "every address in a setting is one that answers",
        &[
            ("Deployment dummy-0-4", "container/env/0/value", r#""http://frontend-control:8080""#),
            ("Deployment dummy-0-4", "container/env/0/value", r#""http://control:8081""#),
            ("Deployment dummy-0-4", "container/args/2", r#""jaeger:16686""#),
            ("Job kafka-topics", "container/env/0/value", r#""kafka:9093""#),
            ("ConfigMap door", "data/upstreams.conf", r#""frontend:8080 => frontend:8090""#),
            ("ConfigMap telemetry", "data/TRACELAB_OTLP", r#""http://agent:4318""#),
        ],
    ),
    (
        "a file that a container is told of is there",
        &[
            ("Deployment cluster-traces", "container/args/1", r#""/etc/collector/pipeline.yaml""#),
            ("DaemonSet jaeger-agent", "container/args/1", r#""/etc/otel/agent.yaml""#),
            ("DaemonSet jaeger-agent", "pod/volumes/0/configMap/items", r#"[{"key": "agent.yaml", "path": "config.yaml"}]"#),
            ("Deployment jaeger-ingester", "container/args", r#"["--config", "/etc/jaeger/ingester.yaml"]"#),
            ("Deployment jaeger-query", "container/volumeMounts/1/mountPath", r#""/etc/storage""#),
            ("Job kafka-topics", "container/command/1", r#""/etc/topics/topic.sh""#),
            ("Deployment door", "container/command/1", r#""/etc/nginx/tracelab/begin.sh""#),
        ],
    ),
    (
        "a configuration is one that its program takes",
        &[
            ("ConfigMap jaeger-agent", "data/agent.yaml", r#""interval: 5s => intervall: 5s""#),
            ("ConfigMap jaeger-storage", "data/storage.yaml", r#""LOCAL_QUORUM => MOST""#),
            ("StatefulSet jaeger-aggregator", "container/image", r#""otel/opentelemetry-collector:0.158.0""#),
            ("OpenTelemetryCollector sidecar", "spec/config/exporters/otlp_grpc/endpoints", r#""jaeger:4317""#),
            ("ConfigMap cluster-traces", "data/collector.yaml", r#""processors: [memory_limiter, => processors: [""#),
        ],
    ),
    (
        "a configuration's variables are its container's",
        &[
            ("Deployment jaeger-query", "container/env/1/name", r#""CASSANDRA_USER""#),
            ("ConfigMap jaeger-storage", "data/storage.yaml", r#""env:CASSANDRA_PASSWORD => env:PASSWORD""#),
        ],
    ),
    (
        "a program listens where its container's ports are",
        &[
            ("DaemonSet jaeger-agent", "container/ports/1/containerPort", "4319"),
            ("ConfigMap jaeger-query", "data/query.yaml", r#""0.0.0.0:16686 => 0.0.0.0:16687""#),
            ("ConfigMap jaeger-collector", "data/collector.yaml", r#""port: 8888 => port: 8889""#),
            ("ConfigMap jaeger-ingester", "data/ingester.yaml", r#""0.0.0.0:13133 => 127.0.0.1:13133""#),
        ],
    ),
    (
        "what a configuration calls is a Service that lets it in",
        &[
            ("ConfigMap jaeger-agent", "data/agent.yaml", r#""hostname: jaeger-aggregator => hostname: aggregator""#),
            ("ConfigMap jaeger-agent", "data/agent.yaml", r#""port: \"4317\" => port: \"4318\"""#),
            (
                "ConfigMap jaeger-aggregator",
                "data/aggregator.yaml",
                r#""dns:///jaeger-collector:4317 => dns:///jaeger-query:16686""#,
            ),
            ("ConfigMap jaeger-collector", "data/collector.yaml", r#""kafka:9092 => kafka-nodes:9094""#),
            ("ConfigMap jaeger-storage", "data/storage.yaml", r#""cassandra:9042 => cassandra:9142""#),
            ("Service opensearch", "spec/ports/0/port", "9201"),
            ("NetworkPolicy to-cassandra", "spec/egress/0/ports/0/port", "7000"),
            ("ConfigMap cluster-traces", "data/collector.yaml", r#""jaeger:4317 => jager:4317""#),
        ],
    ),
    (
        "memory runs out in an order that nobody is killed by",
        &[
            ("Deployment cluster-traces", "container/resources/limits/memory", r#""96Mi""#),
            ("DaemonSet jaeger-agent", "container/env/0/value", r#""240MiB""#),
            ("ConfigMap jaeger-collector", "data/collector.yaml", r#""limit_mib: 400 => limit_mib: 512""#),
            ("Deployment jaeger-query", "container/env/0/value", r#""1GiB""#),
            ("StatefulSet cassandra", "container/env/5/value", r#""3072M""#),
            ("StatefulSet opensearch", "container/resources/limits/memory", r#""1Gi""#),
        ],
    ),
    (
        "of what there are several, one may go at a time",
        &[
            ("PodDisruptionBudget kafka", "spec/maxUnavailable", "3"),
            ("PodDisruptionBudget kafka", "spec/maxUnavailable", "0"),
            ("PodDisruptionBudget jaeger-query", "spec/selector/matchLabels", r#"{"app.kubernetes.io/component": "tracing"}"#),
            ("PodDisruptionBudget door", "spec/selector/matchLabels", r#"{"app.kubernetes.io/name": "doors"}"#),
            ("Deployment jaeger-query", "spec/replicas", "1"),
            ("Deployment frontend", "spec/replicas", "2"),
        ],
    ),
    (
        "no two of a store are on one node, or in one zone of three",
        &[
            ("StatefulSet kafka", "pod/affinity", "null"),
            (
                "StatefulSet cassandra",
                "pod/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector/matchLabels",
                r#"{"app.kubernetes.io/name": "kafka"}"#,
            ),
            ("StatefulSet opensearch", "pod/topologySpreadConstraints/0/whenUnsatisfiable", r#""ScheduleAnyway""#),
        ],
    ),
    (
        "what there are several of is spread over nodes",
        &[
            ("Deployment door", "pod/topologySpreadConstraints", "null"),
            (
                "StatefulSet jaeger-aggregator",
                "pod/topologySpreadConstraints/1/labelSelector/matchLabels",
                r#"{"app.kubernetes.io/name": "aggregator"}"#,
            ),
        ],
    ),
    (
        "an autoscaler has a target, and its number is nobody else's",
        &[
            ("HorizontalPodAutoscaler jaeger-collector", "spec/scaleTargetRef/name", r#""collector""#),
            ("HorizontalPodAutoscaler jaeger-collector", "spec/minReplicas", "1"),
            ("Deployment jaeger-ingester", "spec/replicas", "2"),
        ],
    ),
    (
        "nobody scales the aggregators",
        &[
            (
                "HorizontalPodAutoscaler jaeger-collector",
                "spec/scaleTargetRef",
                r#"{"kind": "StatefulSet", "name": "jaeger-aggregator"}"#,
            ),
            ("StatefulSet jaeger-aggregator", "kind", r#""Deployment""#),
        ],
    ),
    (
        "every volume has a size",
        &[
            ("StatefulSet kafka", "spec/volumeClaimTemplates/0/spec/resources", "null"),
            ("PersistentVolumeClaim frontend-state", "spec/resources/requests/storage", "null"),
            ("Deployment door", "pod/volumes/3/emptyDir", "{}"),
            ("StatefulSet cassandra", "pod/securityContext/fsGroup", "null"),
        ],
    ),
    (
        "who is told to stop has the time for it",
        &[
            ("StatefulSet jaeger-aggregator", "pod/terminationGracePeriodSeconds", "15"),
            ("Deployment door", "pod/terminationGracePeriodSeconds", "null"),
        ],
    ),
    (
        "no password is written down",
        &[
            ("Job cassandra-schema", "container/env/1", r#"{"name": "CASSANDRA_PASSWORD", "value": "cassandra"}"#),
            ("ConfigMap door", "kind", r#""Secret""#),
        ],
    ),
    (
        "one Service is for the world",
        &[
            ("Service jaeger-query", "spec/type", r#""NodePort""#),
            ("Service door", "spec/type", "null"),
            ("Service door", "spec/externalTrafficPolicy", "null"),
            ("Service door", "spec/ports/0/port", "80"),
        ],
    ),
    (
        "an agent is its own node's",
        &[
            ("Service jaeger-agent", "spec/internalTrafficPolicy", "null"),
            ("Service jaeger-collector", "spec/internalTrafficPolicy", r#""Local""#),
        ],
    ),
    (
        "what belongs together says the same",
        &[
            ("Job kafka-topics", "container/env/2/value", r#""24""#),
            ("HorizontalPodAutoscaler jaeger-ingester", "spec/maxReplicas", "13"),
            ("ConfigMap jaeger-collector", "data/collector.yaml", r#""max_message_bytes: 5000000 => max_message_bytes: 6000000""#),
            ("ConfigMap jaeger-collector", "data/collector.yaml", r#""topic: jaeger-spans => topic: spans""#),
            ("ConfigMap jaeger-collector", "data/collector.yaml", r#""required_acks: all => required_acks: 1""#),
            ("ConfigMap jaeger-collector", "data/collector.yaml", r#""timeout: 8s => timeout: 20s""#),
            ("ConfigMap jaeger-collector", "data/collector.yaml", r#""wait_for_result: true => wait_for_result: false""#),
            ("ConfigMap jaeger-collector", "data/collector.yaml", r#""max_recv_msg_size_mib: 32 => max_recv_msg_size_mib: 1""#),
            (
                "ConfigMap jaeger-ingester",
                "data/ingester.yaml",
                r#""max_partition_fetch_size: 5242880 => max_partition_fetch_size: 1048576""#,
            ),
            ("ConfigMap jaeger-ingester", "data/ingester.yaml", r#""after: true => after: false""#),
            ("ConfigMap jaeger-ingester", "data/ingester.yaml", r#""otlp_proto => otlp_json""#),
            ("StatefulSet kafka", "spec/volumeClaimTemplates/0/spec/resources/requests/storage", r#""10Gi""#),
            ("StatefulSet kafka", "spec/replicas", "5"),
            ("StatefulSet kafka", "container/env/11/value", r#""true""#),
            ("StatefulSet jaeger-aggregator", "container/args", r#"["--config", "/etc/aggregator/aggregator.yaml"]"#),
            ("StatefulSet jaeger-aggregator", "container/lifecycle/preStop/sleep/seconds", "5"),
            ("ConfigMap jaeger-aggregator", "data/aggregator.yaml", r#""spans_per_second: 4000 => spans_per_second: 400""#),
            ("ConfigMap jaeger-aggregator", "data/aggregator.yaml", r#""burst_capacity: 20000 => burst_capacity: 1000""#),
            ("ConfigMap jaeger-aggregator", "data/aggregator.yaml", r#""queue_size: 16777216 => queue_size: 167772160""#),
            ("ConfigMap jaeger-agent", "data/agent.yaml", r#""routing_key: traceID => routing_key: service""#),
            ("ConfigMap jaeger-agent", "data/agent.yaml", r#""queue_size: 33554432 => queue_size: 335544320""#),
            ("Service jaeger-aggregator", "spec/clusterIP", "null"),
            ("ConfigMap jaeger-query", "data/query.yaml", r#""base_path: /jaeger => base_path: /traces""#),
            ("ConfigMap settings", "data/TRACELAB_JAEGER_LINKS", r#""http://localhost:16686""#),
            ("Deployment jaeger-query", "container/args", r#"["--config", "/etc/jaeger/query.yaml"]"#),
            ("Job cassandra-schema", "container/env/6/value", r#""jaeger""#),
            ("Job cassandra-schema", "container/env/7/value", r#""1""#),
            ("ConfigMap jaeger-storage", "data/storage.yaml", r#""local_dc: dc1 => local_dc: dc2""#),
            ("ConfigMap jaeger-storage", "data/storage.yaml", r#""${env:CASSANDRA_PASSWORD} => cassandra""#),
            ("ConfigMap jaeger-storage", "data/storage.yaml", r#""create: false => create: true""#),
            ("CronJob opensearch-cleaner", "spec/jobTemplate/spec/template/spec/containers/0/args/0", r#""7""#),
        ],
    ),
    (
        "every host that is told is a Service that lets one in",
        &[
            ("ConfigMap door", "data/upstreams.conf", r#""server frontend:8080 => server page:8080""#),
            ("StatefulSet cassandra", "container/env/1/value", r#""cassandra-0.cassandra,cassandra-3.cassandra""#),
            ("Job cassandra-schema", "container/env/2/value", r#""casandra""#),
            ("StatefulSet kafka", "container/env/4/value", r#""0@kafka-0.kafka:9093""#),
            ("Deployment frontend", "container/env/0", r#"{"name": "TRACELAB_JAEGER", "value": "http://jaeger:16686"}"#),
        ],
    ),
    ("every port is somebody's business", &[("DaemonSet jaeger-agent", "container/ports/3/name", r#""debug""#)]),
    (
        "names are asked where they are answered, and nothing else outside is called",
        &[
            ("NetworkPolicy names", "spec/podSelector", r#"{"matchLabels": {"app.kubernetes.io/component": "service"}}"#),
            ("NetworkPolicy names", "spec/egress/0/to/0/podSelector", r#"{}"#),
            ("NetworkPolicy names", "spec/egress/0/ports/0/port", "443"),
            ("NetworkPolicy names", "spec/egress/0/to/1/ipBlock/cidr", r#""10.0.0.0/8""#),
            ("NetworkPolicy door", "spec/egress/0/to/0", r#"{"namespaceSelector": {}}"#),
        ],
    ),
];
