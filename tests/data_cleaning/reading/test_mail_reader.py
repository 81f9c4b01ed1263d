"""Mailboxes: each message is a document or has a reason, whatever the others look like."""

from email.message import EmailMessage

from hypothesis import given, settings
from hypothesis import strategies as st

from data_cleaning.reading import mail_reader
from data_cleaning.reading.readers import READERS, reader_for
from tests.data_cleaning.reading.test_readers import MAX, read, write


def message(text: str, number: int = 1, html: str = "", charset: str = "utf-8") -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = f"Grüße {number}", "a@example.org", "b@example.org"
    mail["Message-ID"], mail["Date"] = f"<{number}@example.org>", "Thu, 26 Nov 2026 10:00:00 +0000"
    mail.set_content(text, charset=charset)
    if html:
        mail.add_alternative(html, subtype="html")
    return mail


def mbox(*messages: EmailMessage) -> bytes:
    quoted = (one.as_bytes().replace(b"\nFrom ", b"\n>From ").removesuffix(b"\n") for one in messages)
    return b"".join(b"From a@example.org Thu Nov 26 10:00:00 2026\n" + one + b"\n\n" for one in quoted)


def test_each_message_is_a_document_with_subject_and_own_id(tmp_path):
    first, second = message("Dear all,\n\nFrom now on we meet at ten.\n"), message("Fine.\n", 2, "<p>Fine.</p>")
    path = write(tmp_path / "team.mbox", mbox(first, second))
    good, bad = read("mbox", path)
    assert bad == [] and reader_for("auto", path) is READERS["mbox"]
    assert [(one.key, one.title, one.text.strip()) for one in good] == [
        ("1@example.org", "Grüße 1", "Dear all,\n\nFrom now on we meet at ten."),
        ("2@example.org", "Grüße 2", "Fine."),
    ]
    assert good[0].meta == {"date": "Thu, 26 Nov 2026 10:00:00 +0000"} and "@" not in good[0].text


def test_html_alone_gives_its_main_content_and_attachments_are_not_read(tmp_path):
    page = EmailMessage()
    page.set_content("<html><body><p>We meet in the <b>garden</b> at ten.</p></body></html>", subtype="html")
    page.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="a.png")
    image = EmailMessage()
    image["Message-ID"] = "<3@example.org>"
    image.set_content(b"\x89PNG", maintype="image", subtype="png")
    good, bad = read("mbox", write(tmp_path / "a.mbox", mbox(page, image)))
    assert [one.text.strip() for one in good] == ["We meet in the garden at ten."]
    assert [(one.error, one.foreign, one.identity) for one in bad] == [
        ("a message without text", True, "3@example.org")
    ]


def test_a_page_in_a_mail_is_bounded_as_others_are(tmp_path):
    page = EmailMessage()
    page["Message-ID"] = "<4@example.org>"
    page.set_content("<b>" * 100_000, subtype="html")
    good, bad = read("mbox", write(tmp_path / "a.mbox", mbox(page, message("Fine.\n"))))
    assert len(good) == 1 and [one.error.partition(" than")[0] for one in bad] == ["HTML nested deeper"]


def test_a_wrong_charset_is_found_out_and_a_large_message_is_left_out_alone(tmp_path):
    wrong = message("Der Bär läuft über die Brücke und grüßt.\n" * 3, charset="iso-8859-1")
    wrong.replace_header("Content-Type", 'text/plain; charset="utf-8"')
    good, bad = read(
        "mbox", write(tmp_path / "a.mbox", mbox(message("x" * 60 + "\n"), wrong, message("y\n" * 2000))), 2000
    )
    assert [one.text.strip()[:10] for one in good] == ["x" * 10, "Der Bär lä"]
    assert [one.error for one in bad] == ["document larger than 2,000 bytes"]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 3))
def test_bytes_that_are_no_mail_never_stop_the_reader(tmp_path_factory, noise, place):
    parts = [mbox(message("One.\n", 1)), mbox(message("Two.\n", 2)), mbox(message("Three.\n", 3))]
    parts.insert(place, b"From x\n" + noise + b"\n\n")
    path = write(tmp_path_factory.mktemp("mail") / "a.mbox", b"".join(parts))
    good, _ = read("mbox", path)
    assert {"1@example.org", "2@example.org", "3@example.org"} <= {one.key for one in good}


def test_lines_are_bounded(tmp_path):
    path = write(tmp_path / "a.mbox", mbox(message("One.\n")) + b"From x\n\n" + b"z" * (MAX + 10) + b"\n")
    good, bad = read("mbox", path)
    assert [one.key for one in good] == ["1@example.org"] and len(bad) == 1
    assert mail_reader.SEPARATOR == b"From "
