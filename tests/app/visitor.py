"""What a visitor does on the page, and what is in the lake afterwards."""

import json

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from app import services
from include.lake import layout
from include.lake.local import LocalStore


def show(page: AppTest, photo: bytes, name: str = "me.jpg") -> AppTest:
    """Choose a file on the page, which may show another photo already."""
    page.run()
    if not page.file_uploader:
        click(page, "Another photo")
    page.file_uploader[0].set_value((name, photo, "image/jpeg")).run()
    return whole(page)


def click(page: AppTest, words: str) -> AppTest:
    button(page, words).click().run()
    return whole(page)


def button(page: AppTest, words: str) -> Button:
    """The button with these words, chosen or not."""
    (found,) = [button for button in page.button if button.label.removeprefix("✓ ") == words]
    return found


def consent(page: AppTest) -> AppTest:
    page.checkbox[0].check().run()
    return whole(page)


def withdraw(page: AppTest) -> AppTest:
    page.checkbox[0].uncheck().run()
    return whole(page)


def whole(page: AppTest) -> AppTest:
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    """All text of the page."""
    kinds = (page.title, page.header, page.markdown, page.info, page.warning, page.error, page.success)
    return "\n".join(element.value for kind in kinds for element in kind)


def send_all(lake: LocalStore) -> None:
    """What the sender's thread does, now."""
    services.get_spool().send(lake)


def uploads(lake: LocalStore) -> dict[str, str | None]:
    """The answer to each complete upload, by its id."""
    send_all(lake)
    ids = {layout.photo_id_of(key) for key in lake.keys(layout.UPLOADS)}
    for photo_id in ids:
        assert lake.exists(layout.upload_photo(photo_id))
        assert lake.exists(layout.upload_record(photo_id))
    return {photo_id: answer_to(lake, photo_id) for photo_id in ids}


def answer_to(lake: LocalStore, photo_id: str) -> str | None:
    key = layout.feedback(photo_id)
    return json.loads(lake.read(key))["answer"] if lake.exists(key) else None


def counts(lake: LocalStore) -> list[dict[str, str]]:
    send_all(lake)
    return [json.loads(lake.read(key)) for key in lake.keys(layout.COUNTS)]
