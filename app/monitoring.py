"""What the app counts for Prometheus. No figure tells of one visitor."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
PHOTOS = Counter("cat_app_photos", "Photos that could be read, by where they came from", ["source"], registry=REGISTRY)
ERRORS = Counter("cat_app_user_errors", "What a visitor was told went wrong, by reason", ["reason"], registry=REGISTRY)
VERDICTS = Counter("cat_app_verdicts", "Verdicts, as they were told", ["told", "version"], registry=REGISTRY)
SECONDS = Histogram("cat_app_verdict_seconds", "From the request for a verdict to its answer", registry=REGISTRY)
ANSWERS = Counter("cat_app_answers", "Answers of visitors, changes included", ["answer"], registry=REGISTRY)
WAITING = Gauge("cat_app_spool_files", "Uploads and answers that the lake does not have yet", registry=REGISTRY)
HTTP = Counter("cat_app_http_responses", "HTTP responses, by kind of path", ["path", "status"], registry=REGISTRY)
