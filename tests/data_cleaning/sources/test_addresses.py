import pytest

from data_cleaning.sources.addresses import shown


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (
            "https://me:pass@host.org:8080/a/b.zip?X-Signature=abc&t=1#data/?.csv",
            "https://host.org:8080/a/b.zip#data/?.csv",
        ),
        ("https://token@host.org", "https://host.org"),
        ("s3://bucket/key.txt?versionId=7", "s3://bucket/key.txt"),
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
