import pytest

from data_cleaning.sources.addresses import refusal, shown


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (
            "https://me:pass@host.org:8080/a/b.zip?X-Signature=abc&t=1#data/?.csv",
            "https://host.org:8080/a/b.zip#data/?.csv",
        ),
        (
            "https://host.org/a.csv?download=1&X-Amz-Signature=abc&versionId=7&&sig=${SIG}&raw",
            "https://host.org/a.csv?download=1&versionId=7&sig=${SIG}&raw",
        ),
        ("https://${USER}:${PASSWORD}@host.org/a?${QUERY}#b", "https://${USER}:${PASSWORD}@host.org/a?${QUERY}#b"),
        ("https://me:${PASSWORD}@host.org/a", "https://host.org/a"),
        ("https://host.org/a?sig=prefix${SIG}", "https://host.org/a"),
        ("https://token@host.org", "https://host.org"),
        ("s3://bucket/key.txt?versionId=7", "s3://bucket/key.txt?versionId=7"),
        ("zip://x.txt::https://me:pass@host.org/a.zip", "zip://x.txt::https://host.org/a.zip"),
        ("https://host.org/users/@jane/a.txt", "https://host.org/users/@jane/a.txt"),
        ("hf://datasets/org/name@main/data/?.parquet", "hf://datasets/org/name@main/data/?.parquet"),
        ("pip://name==1.0/data/?.csv", "pip://name==1.0/data/?.csv"),
        ("/data/me@home/what?.zip#*.md", "/data/me@home/what?.zip#*.md"),
        ("criatoy==1.0", "criatoy==1.0"),
    ],
)
def test_what_may_be_secret_is_not_shown(uri, expected):
    assert shown(uri) == expected == shown(expected)


SECRET = "hunter2"


@pytest.mark.parametrize("uri, why", [
    (f"https://me:{SECRET}@host.org/a.zip", "holds a user or password"),
    (f"https://{SECRET}@host.org/a.zip", "holds a user or password"),
    (f"zip://x.txt::https://me:{SECRET}@host.org/a.zip", "holds a user or password"),
    (f"https://me:${{PASSWORD}}{SECRET}@host.org/a.zip", "holds a user or password"),
    (f"https://host.org/a.zip?X-Amz-Signature={SECRET}#b", "holds a value of 'X-Amz-Signature'"),
    (f"https://host.org/a.zip?format=csv&t={SECRET}", "holds a value of 't'"),
    (f"s3://bucket/a.zip?{SECRET}", "holds a query"),
    (f"https://host.org/a.zip?sig=${{SIG}}{SECRET}", "holds a value of 'sig'"),
    ("pip://name==1.0/${MEMBER}", "only addresses of web servers and object stores may name variables"),
    ("hf://datasets/org/name@main/${TOKEN}", "only addresses of web servers"),
    ("folder/${NAME}.txt", "only addresses of web servers"),
])  # fmt: skip
def test_a_secret_in_the_table_is_refused_and_not_repeated(uri, why):
    told = refusal(uri)
    assert why in told and SECRET not in told and "\n" not in told


@pytest.mark.parametrize("uri", [
    "https://host.org/a.zip?format=csv&download=1#b", "https://${USER}:${PASSWORD}@host.org/a", "https://${TOKEN}@host.org/a",
    "https://host.org/${PATH_TO_IT}/a.zip?sig=${SIG}&${REST}", "s3://bucket/a.txt", "pip://name==1.0/data/?.csv",
    "hf://datasets/org/name@main/?.parquet", "/data/me@home/what?.zip#*.md", "host.org",
])  # fmt: skip
def test_an_address_without_secrets_is_taken_and_shown_as_it_is(uri):
    assert refusal(uri) is None and shown(uri) == uri
