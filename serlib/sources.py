"""Released corpora: what each one's file names mean, and the facts about it that its card shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

EMOTIONS = ("anger", "boredom", "calm", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")

#: Words for emotions, in lower case -> the course's word.
HARMONISED = {emotion: emotion for emotion in EMOTIONS} | {
    "angry": "anger",
    "bored": "boredom",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "pleasant_surprise": "surprise",
    "ps": "surprise",
}

Row = dict[str, Any]  # an utterance's columns, as far as they are known


class Problem(NamedTuple):
    """Something about a file or folder of a corpus that its user is to know.

    Attributes
    ----------
    path : Path
    reason : str
    action : {"left out", "converted", "kept"}
    broken : bool
        The file is as good as missing: it would have to be fetched again.
    """

    path: Path
    reason: str
    action: str
    broken: bool = False


@dataclass(frozen=True)
class Source:
    """How a released corpus names its clips, and what its makers say about it.

    Attributes
    ----------
    title : str
    plain : str
        What people call it, for headings and legends.
    grammar : Pattern
        Matches the whole path of a clip below the corpus's folder, without its suffix; see `_grammar`.
    parse : callable
        Match -> the columns that the name tells: utterance, speaker, label and, where it tells them, gender, age,
        intensity, text, channel.
    labels : mapping
        The release's labels in lower case -> the course's emotions.
    clips : mapping
        Channel -> number of clips in the official release.
    released_as : str
        Format and sample rate of the official files.
    licence : str
    cite : str
        Key of the official description in docs/references.bib: where clips, format and licence are stated.
    reference : str
        The same in words, with its address.
    home : str
        Where to get the corpus.
    layout : str
        The official layout, an example of a path first.
    annotate : callable, optional
        (corpus's folder, rows) -> problems. Adds to the rows what the release says in tables and not in file names.
    session : callable, optional
        Speaker -> the recording session; speakers of one are heard in each other's clips and never divided.
    speaker_folds : int, optional
        Folds of unseen speakers that the field cuts this corpus into, where it is not as usual (`serlib.splits.make`).
    """

    title: str
    plain: str
    grammar: re.Pattern[str]
    parse: Callable[[re.Match[str]], Row]
    labels: Mapping[str, str]
    clips: Mapping[str, int]
    released_as: str
    licence: str
    cite: str
    reference: str
    home: str
    layout: str
    annotate: Callable[[Path, list[Row]], list[Problem]] | None = None
    session: Callable[[str], str] | None = None
    speaker_folds: int | None = None

    def match(self, path: Path, folder: Path) -> re.Match[str] | None:
        """The name of a file below the corpus's folder, taken apart; None where it is not a clip's name."""
        return self.grammar.fullmatch(path.relative_to(folder).with_suffix("").as_posix())


def _grammar(name: str) -> re.Pattern[str]:
    """Pattern of a clip's name, in any folder and any case."""
    return re.compile(rf"(?:.*/)?{name}", re.IGNORECASE)


TESS_AGES = {"OAF": 64, "YAF": 26}


def _tess(match: re.Match[str]) -> Row:
    speaker = match["speaker"].upper().removesuffix("F") + "F"  # one file of OAF is named OA_bite_neutral
    word, label = match["word"].lower(), match["label"].lower()
    return {
        "utterance": f"{speaker}_{word}_{label}",
        "speaker": speaker,
        "gender": "female",
        "age": TESS_AGES[speaker],
        "label": label,
        "text": word,
    }


def _ravdess(match: re.Match[str]) -> Row:
    actor = int(match["actor"])
    return {
        "utterance": match[0].rpartition("/")[2],
        "speaker": f"Actor_{actor:02}",
        "gender": "male" if actor % 2 else "female",
        "label": match["label"],
        "intensity": {"01": "normal", "02": "strong"}[match["intensity"]],
        "text": f"statement_{match['statement']}",  # spoken and sung: the words are the same
        "channel": {"01": "speech", "02": "song"}[match["channel"]],
    }


def _cremad(match: re.Match[str]) -> Row:
    speaker, text, label = match["speaker"], match["text"].upper(), match["label"].upper()
    intensity = match["intensity"].upper()
    intensity = "XX" if intensity == "X" else intensity  # one released file is named 1040_ITH_SAD_X
    return {
        "utterance": f"{speaker}_{text}_{label}_{intensity}",
        "speaker": speaker,
        "label": label,
        "intensity": intensity,
        "text": text,
    }


def _cremad_actors(folder: Path, rows: list[Row]) -> list[Problem]:
    """Gender and age of the actors, from the release's VideoDemographics.csv."""
    tables = [p for p in sorted(folder.rglob("*.[cC][sS][vV]")) if p.stem.lower() == "videodemographics"]
    remedy = "gender and age stay unknown; the table is part of the release, put it into the corpus's folder"
    if not tables:
        return [Problem(folder, f"VideoDemographics.csv is missing: {remedy}", "kept")]
    try:
        actors = pd.read_csv(tables[0], dtype="str").set_index("ActorID")[["Age", "Sex"]].to_dict("index")
    except (ValueError, KeyError):  # pandas' own errors are ValueErrors
        return [Problem(tables[0], f"is not a table of ActorID, Age, Sex: {remedy}", "kept")]
    for row in rows:
        actor = actors.get(str(row["speaker"]), {})
        row |= {"gender": str(actor["Sex"]).lower(), "age": actor["Age"]} if actor else {}
    unknown = sorted({str(row["speaker"]) for row in rows} - set(actors))
    return [Problem(tables[0], f"lacks {', '.join(unknown)}: gender and age stay unknown", "kept")] if unknown else []


def cremad_listeners(summary: Path) -> pd.DataFrame:
    """What the raters of CREMA-D heard in the voice alone, about ten of them a clip.

    Parameters
    ----------
    summary : Path
        ``processedResults/summaryTable.csv`` of the release: the emotion with most votes for each clip, several where
        they are as many, which share the clip here.

    Returns
    -------
    DataFrame
        Columns corpus, true, heard (plain names of emotions), clips.

    References
    ----------
    Cao, H. et al. (2014). CREMA-D: Crowd-sourced emotional multimodal actors dataset. IEEE Trans. Affective Computing
    5(4), 377-390.
    """
    labels = SOURCES["cremad"].labels
    votes = pd.read_csv(summary, dtype=str, keep_default_na=False)[["FileName", "VoiceVote"]]
    heard = votes.VoiceVote.str.split(":")
    table = votes.assign(true=votes.FileName.str.split("_").str[2], heard=heard, clips=1 / heard.str.len())
    table = table.explode("heard")
    letters = {label[0].upper(): emotion for label, emotion in labels.items()}
    table = table.assign(true=table.true.str.lower().map(labels), heard=table.heard.map(letters))
    counts = table.groupby(["true", "heard"], as_index=False).clips.sum()
    return counts.assign(clips=counts.clips.round(3), corpus="cremad")[["corpus", "true", "heard", "clips"]]


def _savee(match: re.Match[str]) -> Row:
    speaker, label = match["speaker"].upper(), match["label"].lower()
    text = f"{label}{match['number']}"  # numbers count within an emotion: a04 and d04 are different sentences
    return {"utterance": f"{speaker}_{text}", "speaker": speaker, "gender": "male", "label": label, "text": text}


EMODB_SPEAKERS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}


def _emodb(match: re.Match[str]) -> Row:
    speaker, text, label = match["speaker"], match["text"].lower(), match["label"].upper()
    gender, age = EMODB_SPEAKERS[speaker]
    return {
        "utterance": f"{speaker}{text}{label}{match['take'].lower()}",
        "speaker": speaker,
        "gender": gender,
        "age": age,
        "label": label,
        "text": text,
    }


IEMOCAP_LINE = re.compile(r"^\[[^]\n]*\][ \t]+(Ses\w+)[ \t]+(\w+)[ \t]+\[", re.MULTILINE)


def _iemocap(match: re.Match[str]) -> Row:
    session, gender, scene = match["session"], match["gender"].upper(), match["scene"].lower()
    return {
        # the letter before the scene names who wears the markers; the one before the turn, who speaks
        "utterance": f"Ses{session}{match['marked'].upper()}_{scene}{match['part'].lower()}_{gender}{match['turn']}",
        "speaker": f"Ses{session}{gender}",
        "gender": "female" if gender == "F" else "male",
        "label": None,  # until `_iemocap_labels` finds it
        "text": scene,  # every session plays the same scripts and situations
    }


def _iemocap_labels(folder: Path, rows: list[Row]) -> list[Problem]:
    """Labels of the utterances, from SessionN/dialog/EmoEvaluation/*.txt."""
    labels: dict[str, str] = {}
    for path in sorted(folder.rglob("*.txt")):
        if path.parent.name.lower() == "emoevaluation" and not path.name.startswith("."):
            found = IEMOCAP_LINE.findall(path.read_text(encoding="utf-8", errors="replace"))
            labels |= {name.lower(): label for name, label in found}
    for row in rows:
        row["label"] = labels.get(str(row["utterance"]).lower())
    return []


SOURCES = {
    "tess": Source(
        title="Toronto Emotional Speech Set",
        plain="TESS",
        grammar=_grammar(r"(?P<speaker>OAF?|YAF)_(?P<word>[a-z]+)_(?P<label>[a-z]+)"),
        parse=_tess,
        labels=HARMONISED,
        clips={"speech": 2800},
        released_as="wav at 24,414 Hz",
        licence="CC BY-NC-ND 4.0",
        cite="pichorafuller2020tess",
        reference="Pichora-Fuller & Dupuis 2020, https://doi.org/10.5683/SP2/E8H2MF",
        home="https://doi.org/10.5683/SP2/E8H2MF",
        layout="tess/OAF_angry/OAF_back_angry.wav … tess/YAF_sad/YAF_youth_sad.wav (the folders may be nested)",
    ),
    "ravdess": Source(
        title="Ryerson Audio-Visual Database of Emotional Speech and Song",
        plain="RAVDESS",
        grammar=_grammar(  # 03: audio only, as opposed to video
            r"03-(?P<channel>0[12])-(?P<label>0[1-8])-(?P<intensity>0[12])-(?P<statement>0[12])-0[12]"
            r"-(?P<actor>0[1-9]|1\d|2[0-4])"
        ),
        parse=_ravdess,
        labels={
            "01": "neutral",
            "02": "calm",
            "03": "happiness",
            "04": "sadness",
            "05": "anger",
            "06": "fear",
            "07": "disgust",
            "08": "surprise",
        },
        clips={"speech": 1440, "song": 1012},
        released_as="wav at 48,000 Hz",
        licence="CC BY-NC-SA 4.0",
        cite="livingstone2018ravdess",
        reference="Livingstone & Russo 2018, https://doi.org/10.1371/journal.pone.0196391",
        home="https://doi.org/10.5281/zenodo.1188976",
        layout="ravdess/Actor_01/03-01-01-01-01-01-01.wav … ravdess/Actor_24/03-01-08-02-02-02-24.wav",
        speaker_folds=6,  # of two women and two men
    ),
    "cremad": Source(
        title="Crowd-sourced Emotional Multimodal Actors Dataset (CREMA-D)",
        plain="CREMA-D",
        grammar=_grammar(
            r"(?P<speaker>10[0-8]\d|109[01])_(?P<text>[a-z]{3})_(?P<label>ANG|DIS|FEA|HAP|NEU|SAD)"
            r"_(?P<intensity>LO|MD|HI|XX?)"
        ),
        parse=_cremad,
        labels={
            "ang": "anger",
            "dis": "disgust",
            "fea": "fear",
            "hap": "happiness",
            "neu": "neutral",
            "sad": "sadness",
        },
        clips={"speech": 7442},
        released_as="wav at 16,000 Hz",
        licence="ODbL 1.0",
        cite="cao2014cremad",
        reference="Cao et al. 2014, https://doi.org/10.1109/TAFFC.2014.2336244",
        home="https://github.com/CheyneyComputerScience/CREMA-D",
        layout="cremad/AudioWAV/1001_DFA_ANG_XX.wav … and cremad/VideoDemographics.csv for the actors' gender and age",
        annotate=_cremad_actors,
    ),
    "savee": Source(
        title="Surrey Audio-Visual Expressed Emotion (SAVEE)",
        plain="SAVEE",
        grammar=_grammar(r"(?P<speaker>DC|JE|JK|KL)[_/](?P<label>sa|su|[adfhn])(?P<number>[0-3]\d)"),
        parse=_savee,
        labels={
            "a": "anger",
            "d": "disgust",
            "f": "fear",
            "h": "happiness",
            "n": "neutral",
            "sa": "sadness",
            "su": "surprise",
        },
        clips={"speech": 480},
        released_as="wav at 44,100 Hz",
        licence="research only, after registration",
        cite="haq2009savee",
        reference="Haq & Jackson 2009, Proc. AVSP, pages 53–58",
        home="http://kahlan.eps.surrey.ac.uk/savee/ (registration)",
        layout="savee/AudioData/DC/a01.wav … or savee/ALL/DC_a01.wav …",
    ),
    "emodb": Source(
        title="Berlin Database of Emotional Speech (EMO-DB)",
        plain="EMO-DB",
        grammar=_grammar(r"(?P<speaker>03|08|09|1[0-6])(?P<text>[ab]\d\d)(?P<label>[WLEAFTN])(?P<take>[a-z])"),
        parse=_emodb,
        labels={  # initials of Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral
            "w": "anger",
            "l": "boredom",
            "e": "disgust",
            "a": "fear",
            "f": "happiness",
            "t": "sadness",
            "n": "neutral",
        },
        clips={"speech": 535},
        released_as="wav at 16,000 Hz",
        licence="as stated at its home",
        cite="burkhardt2005emodb",
        reference="Burkhardt et al. 2005, https://doi.org/10.21437/Interspeech.2005-446",
        home="http://emodb.bilderbar.info/docu/",
        layout="emodb/wav/03a01Fa.wav … emodb/wav/16b10Wb.wav",
    ),
    "iemocap": Source(
        title="Interactive Emotional Dyadic Motion Capture Database (IEMOCAP)",
        plain="IEMOCAP",
        grammar=_grammar(
            r"Ses(?P<session>0[1-5])(?P<marked>[FM])_(?P<scene>impro\d\d|script\d\d(?:_\d)?)(?P<part>[a-z]?)"
            r"_(?P<gender>[FM])(?P<turn>\w{3})"
        ),
        parse=_iemocap,
        labels={  # frustration (fru), other (oth) and no agreement (xxx) are none of the course's emotions
            "ang": "anger",
            "dis": "disgust",
            "exc": "happiness",  # excited and happy are one class in the usual task
            "fea": "fear",
            "hap": "happiness",
            "neu": "neutral",
            "sad": "sadness",
            "sur": "surprise",
        },
        clips={"speech": 10039},
        released_as="wav at 16,000 Hz",
        licence="academic use, after a signed release form",
        cite="busso2008iemocap",
        reference="Busso et al. 2008, https://doi.org/10.1007/s10579-008-9076-6",
        home="https://sail.usc.edu/iemocap/ (signed release form)",
        layout="iemocap/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav … with the labels in "
        "iemocap/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt …",
        annotate=_iemocap_labels,
        session=lambda speaker: speaker[:-1],  # Ses01F and Ses01M talk to each other
    ),
}


def plain_name(corpus: str) -> str:
    """What people call a corpus; a folder of one's own keeps its name."""
    return SOURCES[corpus].plain if corpus in SOURCES else corpus
