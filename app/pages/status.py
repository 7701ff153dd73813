"""How the model is doing: what serves, its quality over versions, the last decisions, and what visitors say."""

import altair as alt
import pandas as pd
import streamlit as st

from app.model_reports import Report
from app.services import get_counts, get_model_news, get_settings, get_spool
from app.widgets import ASK, small
from app.wording import day_of
from include.ingestion.answer_counts import feedback_precision, share_interval
from include.status import Status

PATIENCE = 5.0  # seconds for the lake and the server to answer
DECISIONS = 5


def draw_live(live: dict, reports: list[Report]) -> None:
    st.header("What answers now", anchor=False)
    if not live:
        st.warning("The model server does not answer right now, or has no model yet.", icon=":material/warning:")
        return
    report = next((report for report in reports if report["sha256"] == live.get("sha256")), None)
    trained = f", trained on {day_of(report.get('registered_at'))}" if report and report.get("registered_at") else ""
    st.markdown(f"**Version {live.get('model_version')}**{trained}, in service since {day_of(live.get('since'))}.")
    for reason in live.get("rejected", {}).values():
        st.warning(f"A newer version was rejected: {reason}", icon=":material/warning:")


def draw_quality(reports: list[Report]) -> None:
    st.header("Quality over versions", anchor=False)
    if not reports:
        st.markdown("No version has been evaluated yet.")
        return
    rows = pd.DataFrame([row for report in reversed(reports) for row in _quality(report)])
    small("On the test photos of each version, with 95 % intervals. Versions that were not released are among them.")
    st.altair_chart(_plot(rows), height=260)
    with st.expander("The same as a table"):
        st.table(rows.set_index("version").round(3))


def _plot(rows: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """A point and its interval for each version and metric."""
    version = alt.X("version:N", sort=None, title="Model version", axis=alt.Axis(labelAngle=0))
    above, scale = alt.Legend(orient="top"), alt.Scale(zero=False)
    base = alt.Chart(rows).encode(x=version, xOffset="metric:N", color=alt.Color("metric:N", title="", legend=above))
    bars = base.mark_errorbar(ticks=True).encode(y=alt.Y("low:Q", title="", scale=scale), y2="high:Q")
    points = base.mark_point(filled=True, size=70).encode(
        y="value:Q", shape=alt.Shape("metric:N", title="", legend=above)
    )
    return alt.layer(bars, points)


def _quality(report: Report) -> list[dict]:
    named = [(name, report["test"][name]) for name in ("precision", "recall")]
    return [{"version": report["version"], "metric": name, **interval} for name, interval in named]


def draw_decisions(reports: list[Report]) -> None:
    st.header("The last decisions", anchor=False)
    if not reports:
        st.markdown("None yet.")
    for report in reports[:DECISIONS]:
        st.markdown(f"- {report['summary']}")


def draw_feedback() -> None:
    st.header("What visitors say", anchor=False)
    counts, noun = get_counts().get(wait=PATIENCE), get_settings().question.noun
    if counts is None:
        st.warning("The answers cannot be read right now.", icon=":material/warning:")
        return
    right, answered = feedback_precision(counts)
    st.markdown(f"Answers in all: {len(counts)}.")
    if answered:
        share = share_interval(right, answered)
        st.markdown(
            f"It called {answered} of these photos “{noun}”, and visitors agreed on {right}: "
            f"**{share.value:.0%}** ({share.low:.0%} to {share.high:.0%})."
        )
        small("Only those count who answered, and they may be wrong, or joking: this is no measure of the model.")


def draw_waiting(reports: list[Report]) -> None:
    st.header("Uploads that wait", anchor=False)
    statuses = reports[0]["statuses"].get("uploads", {}) if reports else {}
    review = sum(count for status, count in statuses.items() if Status(status).waits_for_review)
    st.markdown(f"For a person's review, as of the last run: {review}. For the lake: {get_spool().waiting()}.")


st.title("How the model is doing", anchor=False)
st.page_link(ASK, label=f"Back to “{get_settings().question.text}”", icon=":material/arrow_back:")
news = get_model_news().get(wait=PATIENCE)
if news is None:
    st.warning("The lake does not answer right now: what is known of models cannot be read.", icon=":material/warning:")
live, reports = (news.live, news.reports) if news else ({}, [])
draw_live(live, reports)
draw_quality(reports)
draw_decisions(reports)
draw_feedback()
draw_waiting(reports)
st.header("For those who run it", anchor=False)
st.markdown(f"[Airflow]({get_settings().airflow_page}) · [MLflow]({get_settings().tracking_page})")
