"""Downloads from a local server that serves, breaks off and lies."""

import dataclasses
import functools
import hashlib
import http.server
import io
import json
import re
import stat
import threading
import time
import zipfile

import pytest
import requests
from tqdm import tqdm
from typer.testing import CliRunner

from serlib import downloads
from serlib.cli import app
from serlib.downloads import DownloadError, Fetcher, Remote, Web
from serlib.sources import SOURCES

BODY = bytes(range(256)) * 400
SIZE = len(BODY)
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; each request of a path takes the next of its `server.faults`, the last one for good."""

    def do_GET(self):
        sent = self.headers.get("Range")
        if self.headers["Accept-Encoding"] != "identity" or not self.headers["User-Agent"].startswith("serlib"):
            return self.answer(406, b"", {})
        self.server.asked.append((self.path, sent))
        faults = self.server.faults.get(self.path, [])
        fault = faults.pop(0) if len(faults) > 1 else faults[0] if faults else None
        body = self.server.files.get(self.path)
        if isinstance(fault, int) or body is None:
            return self.answer(fault or 404, b"no", {})
        if isinstance(fault, str) and "://" in fault:
            return self.answer(302, b"", {"Location": fault})
        if fault == "html":
            return self.answer(200, b"<html>please log in", {"Content-Type": "text/html; charset=utf-8"})
        start = int(re.fullmatch(r"bytes=(\d+)-", sent)[1]) if sent and fault != "ignores ranges" else 0
        if start >= len(body) > 0:
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        shift = 7 if fault == "wrong range" else 0
        headers = {"Content-Range": f"bytes {start + shift}-{len(body) - 1}/{len(body)}"} if start else {}
        body = body[start:]
        length = {"long": len(body) + 10, "short": len(body) - 10, "no length": None}.get(fault, len(body))
        part = body[: len(body) // 2] if fault in ("truncates", "stalls") else body
        self.answer(206 if headers else 200, part, headers, length)
        if fault == "stalls":
            self.wfile.flush()
            time.sleep(0.4)

    def answer(self, status, body, headers, length=0):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if length is not None:
            self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.faults, server.asked = {"/a": BODY, "/b": BODY}, {}, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def web(server):
    return Web(
        tess=f"{server.url}/api",
        ravdess=f"{server.url}/record",
        cremad=f"{server.url}/master",
        cremad_audio=(f"{server.url}/media", f"{server.url}/mirror"),
        emodb=(f"{server.url}/emodb.zip",),
        timeout=0.2,
        tries=3,
        pause=0.01,
    )


@pytest.fixture
def fetch(server, tmp_path):
    """Fetches one file in a session of its own, as a second run of the command would."""

    def fetch(*places, size=SIZE, checksum=MD5, name="clip.wav"):
        with requests.Session() as session:
            urls = tuple(f"{server.url}/{place}" for place in places or ("a",))
            return Fetcher(web(server), session, tmp_path).fetch(Remote(name, urls, size, checksum)).read_bytes()

    return fetch


@pytest.mark.parametrize("published", [{}, {"size": None, "checksum": None}])
@pytest.mark.parametrize(
    "faults, ranges",
    [
        ([None], [0]),
        (["no length"], [0]),
        ([500, 503, None], [0, 0, 0]),
        (["truncates", None], [0, 1]),
        (["stalls", None], [0, 1]),
        (["truncates", "truncates", None], [0, 1, 1]),
        (["truncates", "ignores ranges"], [0, 1]),
        (["truncates", "wrong range", None], [0, 1, 0]),
        (["truncates", 500, None], [0, 1, 1]),
    ],
)
def test_a_transfer_goes_on_or_starts_again(server, fetch, tmp_path, faults, ranges, published):
    server.faults["/a"] = list(faults)
    assert fetch(**published) == BODY
    assert [int(sent is not None) for _, sent in server.asked] == ranges
    assert [path.name for path in tmp_path.iterdir()] == ["clip.wav"]


def test_the_next_run_goes_on_where_this_one_gave_up(server, fetch, tmp_path):
    server.faults["/a"] = ["stalls"]
    with pytest.raises(DownloadError, match=r"/a: failed 3 times.*bytes are kept.*\n.*same command again"):
        fetch()
    (part,) = tmp_path.iterdir()
    kept = part.stat().st_size
    assert part.suffix == ".part" and 0 < kept < len(BODY) and BODY.startswith(part.read_bytes())
    server.faults.clear()
    assert fetch() == BODY
    assert server.asked[-1] == ("/a", f"bytes={kept}-")
    asked = len(server.asked)
    assert fetch() == BODY and len(server.asked) == asked  # verified, not fetched again


@pytest.mark.parametrize("leftover", [BODY + b"more", BODY])
@pytest.mark.parametrize("published", [{}, {"size": None}])
def test_what_an_earlier_run_left_is_made_good(server, fetch, tmp_path, leftover, published):
    (tmp_path / "clip.wav.0.part").write_bytes(leftover)
    assert fetch(**published) == BODY


@pytest.mark.parametrize(
    "fault, published, message",
    [
        (404, {}, "answers 404"),
        (503, {}, "failed 3 times.* 503"),
        ("html", {}, "web page, such as a login"),
        ("html", {"size": None, "checksum": None}, "web page, such as a login"),
        ("long", {}, "announces 102,410 bytes where the source's list says 102,400"),
        ("long", {"size": None}, "failed 3 times"),
        ("short", {}, "announces 102,390 bytes where the source's list says 102,400"),
        ("short", {"size": None}, "does not match"),
        ("no length", {"size": 102_000}, "more than the 102,000 bytes"),
        ("no length", {"size": 103_000}, "closed after 102,400 of 103,000"),
        (None, {"checksum": "md5:" + "0" * 32}, "does not match"),
        ("file:///etc/hostname", {}, "No connection adapters"),
        ("ftp://127.0.0.1/clip.wav", {}, "No connection adapters"),
        ("truncates", {"checksum": "sha256:" + "0" * 64, "size": None}, "failed 3 times"),
    ],
)
def test_what_is_wrong_is_said(server, fetch, tmp_path, fault, published, message):
    server.faults["/a"] = [fault]
    with pytest.raises(DownloadError, match=rf"{server.url}/a: .*{message}[\s\S]*same command again"):
        fetch(**published)
    assert not (tmp_path / "clip.wav").exists()
    if published.get("checksum") == "md5:" + "0" * 32:
        assert list(tmp_path.iterdir()) == []  # what is bad is deleted


def test_progress_ends_where_the_file_does(server, tmp_path):
    server.faults["/a"] = ["truncates", "ignores ranges"]
    with requests.Session() as session, tqdm(total=3 * SIZE, file=io.StringIO()) as progress:
        fetcher = Fetcher(web(server), session, tmp_path)
        for place in ("a", "b", "a"):  # the last one is there already
            fetcher.fetch(Remote(f"{place}.wav", (f"{server.url}/{place}",), SIZE, MD5), progress=progress)
        assert progress.n == 3 * SIZE


def test_redirects_are_followed(server, fetch):
    server.faults["/a"] = [f"{server.url}/b"]
    assert fetch() == BODY


def test_an_address_that_failed_is_asked_last(server, tmp_path):
    server.faults["/a"] = [403]
    urls = (f"{server.url}/a", f"{server.url}/b")
    with requests.Session() as session:
        fetcher = Fetcher(web(server), session, tmp_path)
        for name in ("1.wav", "2.wav"):
            assert fetcher.fetch(Remote(name, urls, len(BODY), MD5)).read_bytes() == BODY
    assert [path for path, _ in server.asked] == ["/a", "/b", "/b"]


@pytest.mark.parametrize("name", ["../clip.wav", "/clip.wav", "c:/clip.wav", "a\\..\\..\\clip.wav", "", "a\0.wav"])
def test_a_name_from_a_list_cannot_lead_outside(name):
    with pytest.raises(DownloadError, match="leads out"):
        Remote(name, ("http://127.0.0.1/",))


def zipped(files, **options):
    """Bytes of a zip; a name may be a ZipInfo."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def unpack(tmp_path):
    def unpack(content, **options):
        (tmp_path / "a.zip").write_bytes(content)
        downloads.unpack(tmp_path / "a.zip", tmp_path / "in" / "side", **options)

    return unpack


def link(name="AudioWAV/link.wav", kind=stat.S_IFLNK):
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name",
    ["../out.wav", "a/../../out.wav", "/out.wav", "C:out.wav", "C:\\out.wav", "..\\out.wav", "\\\\host\\out.wav"],
)
def test_members_that_lead_outside_are_refused(unpack, tmp_path, name):
    with pytest.raises(DownloadError, match=r"refused.*leads outside"):
        unpack(zipped({"good.wav": b"good", name: b"bad"}))
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(unpack, tmp_path, kind):
    with pytest.raises(DownloadError, match="is a link"):
        unpack(zipped({link(kind=kind): "../../.."}))
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_a_zero_byte_in_a_name_is_refused(unpack):
    content = zipped({"goodXout.wav": b"bad"}).replace(b"goodXout", b"good\0out")
    with pytest.raises(DownloadError, match="refused"):
        unpack(content)


def test_an_encrypted_member_is_refused(unpack):
    content = bytearray(zipped({"a.wav": b"1234"}))
    content[content.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(DownloadError, match="encrypted"):
        unpack(bytes(content))


def test_bombs_are_refused(unpack, tmp_path, monkeypatch):
    with pytest.raises(DownloadError, match="bomb"):
        unpack(zipped({"zeros.wav": bytes(10_000_000)}))
    monkeypatch.setattr(downloads, "MOST_MEMBERS", 3)
    with pytest.raises(DownloadError, match="bomb"):
        unpack(zipped({f"{i}.wav": b"" for i in range(4)}))
    monkeypatch.setattr(downloads, "MOST_BYTES", 3)
    with pytest.raises(DownloadError, match="bomb"):
        unpack(zipped({"a.wav": b"1234"}))
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_no_more_is_written_than_a_member_declares(unpack, tmp_path):
    content = zipped({"a.wav": bytes(1_000_000)})
    size = (1_000_000).to_bytes(4, "little")
    assert content.count(size) == 2  # beside the member and in the directory
    with pytest.raises(DownloadError, match="CRC"):
        unpack(content.replace(size, (100).to_bytes(4, "little")))
    assert sum(path.stat().st_size for path in (tmp_path / "in").rglob("*.wav")) <= 100


@pytest.mark.parametrize("verified", [True, False])
def test_a_damaged_archive_is_deleted_unless_its_source_published_it_so(unpack, tmp_path, verified):
    with pytest.raises(DownloadError, match="not a whole zip archive"):
        unpack(zipped({"a.wav": b"1234" * 100})[:-30], verified=verified)
    assert (tmp_path / "a.zip").exists() == verified


def test_a_full_disk_is_foreseen(unpack, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "SPARE_BYTES", 2**62)
    with pytest.raises(DownloadError, match=r"bytes free.*make room"):
        unpack(zipped({"a.wav": b"1234"}))
    assert not (tmp_path / "in").exists()


CLIPS = {
    "tess": ["OAF_back_angry.wav", "OAF_bar_angry.wav", "YAF_back_sad.wav"],
    "ravdess": ["Actor_01/03-01-05-01-01-01-01.wav", "Actor_01/03-02-05-01-01-01-01.wav"],
    "cremad": ["AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1002_DFA_SAD_XX.wav"],
    "emodb": ["wav/03a01Fa.wav", "wav/08a01Wa.wav"],
    "savee": ["AudioData/DC/a01.wav", "AudioData/JE/sa02.wav"],
    "iemocap": ["Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"],
}


@pytest.fixture
def sounds(tone, tmp_path, monkeypatch):
    """Bytes of a few clips of every corpus, which are all that its release has for the time of a test."""
    for corpus, names in CLIPS.items():
        counts = {"speech": 1, "song": 1} if corpus == "ravdess" else {"speech": len(names)}
        monkeypatch.setitem(SOURCES, corpus, dataclasses.replace(SOURCES[corpus], clips=counts))
    made = tmp_path / "made"
    return {c: {name: tone(made / c / name, seconds=1.0).read_bytes() for name in names} for c, names in CLIPS.items()}


def publish(server, corpus, sounds):
    """Puts a corpus on the server the way its makers do."""
    files, clips = server.files, sounds[corpus]
    if corpus == "tess":
        listed = []
        for i, (name, content) in enumerate(clips.items()):
            files[f"/api/access/datafile/{i}"] = content
            data = {"id": i, "filename": name, "filesize": len(content), "md5": hashlib.md5(content).hexdigest()}
            listed.append({"label": name, "dataFile": data} | ({"directoryLabel": "YAF"} if "YAF" in name else {}))
        listed.append({"dataFile": {"id": 99, "filename": "readme.txt", "filesize": 3, "md5": "0"}})
        path = "/api/datasets/:persistentId/?persistentId=doi:10.5683/SP2/E8H2MF"
        files[path] = json.dumps({"status": "OK", "data": {"latestVersion": {"files": listed}}}).encode()
    elif corpus == "ravdess":
        listed = []
        for kind, (name, content) in zip(("Speech", "Song"), clips.items(), strict=True):
            key = f"Audio_{kind}_Actors_01-24.zip"
            files[f"/{key}"] = zipped({name: content})
            checksum = "md5:" + hashlib.md5(files[f"/{key}"]).hexdigest()
            links = {"self": f"{server.url}/{key}"}
            listed.append({"key": key, "size": len(files[f"/{key}"]), "checksum": checksum, "links": links})
        listed.append({"key": "Video_Speech_Actor_01.zip", "size": 1, "checksum": "md5:0", "links": {"self": "x"}})
        files["/record"] = json.dumps({"id": 1188976, "files": listed}).encode()
    elif corpus == "cremad":
        repository = {"README.md": b"CREMA-D", "AudioMP3/1001_DFA_ANG_XX.mp3": b"pointer"}
        repository["VideoDemographics.csv"] = b'"ActorID","Age","Sex"\n1001,51,"Male"\n1002,21,"Female"\n'
        for name, content in clips.items():
            files[f"/mirror/{name}"] = content  # GitHub's budget is spent: only the mirror has them
            oid = hashlib.sha256(content).hexdigest()
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
            repository[name] = pointer.encode()
        files["/master"] = zipped({f"CREMA-D-master/{name}": content for name, content in repository.items()})
    else:
        files["/emodb.zip"] = zipped({"erklaerung.txt": b"text", "lablaut/03a01Fa.lablaut": b"x", **clips})


def get(corpus, server, folder, yes=True):
    said = []
    complete = downloads.download(corpus, folder, yes, said.append, web(server))
    return complete, "\n".join(said)


@pytest.mark.parametrize("corpus", ["tess", "ravdess", "cremad", "emodb"])
def test_a_corpus_from_its_source(server, sounds, tmp_path, corpus):
    publish(server, corpus, sounds)
    data = tmp_path / "data"
    complete, said = get(corpus, server, data, yes=False)
    assert not complete and server.asked == [] and not data.exists()
    source = SOURCES[corpus]
    for line in (source.title, source.licence, source.reference, str(data / corpus), "about ", "add --yes"):
        assert line in said
    complete, said = get(corpus, server, data)
    assert complete and said.endswith(str(data / corpus)) and "problems" in said
    for channel, count in source.clips.items():
        assert f"{count} of {count} {channel}" in said
    assert [path.name for path in data.iterdir()] == [corpus]
    for path in (data / corpus).rglob("*.wav"):
        assert path.read_bytes() in sounds[corpus].values()
    server.asked.clear()
    complete, said = get(corpus, server, data)
    assert complete and "nothing to download" in said and server.asked == []


def test_the_repository_may_hold_the_clips_themselves(server, sounds, tmp_path):
    files = {f"CREMA-D-master/{name}": content for name, content in sounds["cremad"].items()}
    server.files["/master"] = zipped(files)
    assert get("cremad", server, tmp_path / "data")[0]


def test_a_stopped_download_goes_on(server, sounds, tmp_path):
    publish(server, "tess", sounds)
    data = tmp_path / "data"
    server.faults["/api/access/datafile/2"] = ["stalls"]
    with pytest.raises(DownloadError, match="datafile/2"):
        get("tess", server, data)
    assert not (data / "tess").exists()
    server.faults.clear()
    server.asked.clear()
    assert get("tess", server, data)[0]
    files = [(path, sent) for path, sent in server.asked if "datafile" in path]
    assert [path for path, _ in files] == ["/api/access/datafile/2"] and files[0][1].startswith("bytes=")


def test_nothing_of_yours_is_overwritten(server, sounds, tmp_path):
    publish(server, "ravdess", sounds)
    folder = tmp_path / "data" / "ravdess"
    yours = folder / CLIPS["ravdess"][0]
    yours.parent.mkdir(parents=True)
    yours.write_text("version https://git-lfs")
    (folder / "notes.txt").write_text("mine")
    complete, said = get("ravdess", server, tmp_path / "data")
    assert not complete and "1 files that were" in said and "cannot be decoded" in said and "incomplete" in said
    assert yours.read_text().startswith("version") and (folder / "notes.txt").read_text() == "mine"
    yours.unlink()
    assert get("ravdess", server, tmp_path / "data")[0]
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_bad_archive_leaves_no_half_corpus(server, sounds, tmp_path):
    publish(server, "ravdess", sounds)
    record = json.loads(server.files["/record"])
    bad = zipped({CLIPS["ravdess"][1]: b"song", "../../out.wav": b"bad"})
    record["files"][1] |= {"size": len(bad), "checksum": "md5:" + hashlib.md5(bad).hexdigest()}
    good = server.files["/Audio_Song_Actors_01-24.zip"], server.files["/record"]
    server.files["/Audio_Song_Actors_01-24.zip"], server.files["/record"] = bad, json.dumps(record).encode()
    data = tmp_path / "data"
    with pytest.raises(DownloadError, match="leads outside"):
        get("ravdess", server, data)
    assert [path.name for path in data.iterdir()] == ["ravdess.download"]
    server.files["/Audio_Song_Actors_01-24.zip"], server.files["/record"] = good
    server.asked.clear()
    (data / "ravdess.download" / "files").mkdir(exist_ok=True)
    (data / "ravdess.download" / "files" / "half.wav").write_text("from an interrupted run")
    assert get("ravdess", server, data)[0]
    assert not (data / "ravdess" / "half.wav").exists()
    assert [path for path, _ in server.asked] == ["/record", "/Audio_Song_Actors_01-24.zip"]


def test_too_few_clips_where_no_checksum_is_published(server, sounds, tmp_path):
    sounds["emodb"].pop("wav/08a01Wa.wav")
    publish(server, "emodb", sounds)
    with pytest.raises(DownloadError, match=r"1 of 2 clips[\s\S]*emodb\.download"):
        get("emodb", server, tmp_path / "data")
    assert not (tmp_path / "data" / "emodb").exists() and (tmp_path / "data/emodb.download/emodb.zip").exists()


@pytest.mark.parametrize("answer", [b"{}", b'{"files": []}', b"no json", b'{"files": [{"key": 1}]}', b"[]"])
def test_a_list_that_is_not_understood(server, sounds, tmp_path, answer):
    server.files["/record"] = answer
    with pytest.raises(DownloadError, match=r"list of files from .* is not understood"):
        get("ravdess", server, tmp_path / "data")


def command(*arguments):
    return CliRunner().invoke(app, ["download", *map(str, arguments)])


@pytest.mark.parametrize("corpus, address", [("savee", "surrey.ac.uk"), ("iemocap", "sail.usc.edu")])
def test_registered_corpora_are_explained_and_checked(sounds, tmp_path, corpus, address):
    result = command(corpus, "--data", tmp_path / "data", "--yes")
    assert result.exit_code == 1 and address in result.stdout and SOURCES[corpus].layout in result.stdout
    assert "nothing of it is in" in result.stdout and not (tmp_path / "data").exists()
    for name, content in sounds[corpus].items():
        path = tmp_path / "data" / corpus / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if corpus == "iemocap":
        result = command(corpus, "--data", tmp_path / "data")
        assert result.exit_code == 1 and "has no label" in result.stdout and "incomplete" in result.stdout
        labels = tmp_path / "data" / corpus / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text("[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n")
    result = command(corpus, "--data", tmp_path / "data")
    count = len(CLIPS[corpus])
    assert result.exit_code == 0 and f"{count} of {count} speech" in result.stdout
    (tmp_path / "data" / corpus / CLIPS[corpus][-1]).unlink()
    assert command(corpus, "--data", tmp_path / "data").exit_code == 1


def test_the_command(server, sounds, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "download", functools.partial(downloads.download, web=web(server)))
    result = command("tess", "--data", tmp_path / "data")
    assert result.exit_code == 1 and "CC BY-NC-ND 4.0" in result.stdout and "add --yes" in result.stdout
    result = command("tess", "--data", tmp_path / "data", "--yes")
    assert result.exit_code == 1 and "answers 404" in result.stderr and "Traceback" not in result.output
    publish(server, "tess", sounds)
    assert command("tess", "--data", tmp_path / "data", "--yes").exit_code == 0
    assert command("mini").exit_code == 2
