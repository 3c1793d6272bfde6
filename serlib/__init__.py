"""What the notebooks share. Nothing heavy is imported here, and a module imports only modules listed above it.

================  ======================================================================================
``sources``       released corpora: their file names taken apart, and the facts about them
``listening``     every clip decoded once: seconds, rate, hash, faults; remembered in data/features
``synthetic``     the embedded corpus *mini*: synthetic emotional speech whose cues are known
``corpora``       a folder of recordings -> utterance table and list of problems
``downloads``     released corpora from their official sources, verified
``claims``        what the papers print, and what follows from it
``splits``        a protocol -> train, validation and test indices; refuses leaks
``metrics``       UAR, WA, macro-F1, confusion matrices, intervals
``audio``         load, pad, trim, play
``cache``         one array for each sound under given settings, computed once
``features``      log-mel, MFCC, chroma, contrast, ZCR, RMS from one STFT; functionals
``caemocygan``    a corpus-aware emotional CycleGAN: synthetic rows, and how good they are
``augment``       changed copies of recordings, images, batches; the training set of a method by its name
``windows``       sliding windows over clips, and one answer a clip from theirs
``provenance``    which code a run executes: a hash of all that a notebook reaches
``records``       what a run leaves: columns, written, read and checked in one place
``training``      seeds, compile-and-fit conventions, fold by fold
``transformer``   ViT and BEiT
``checkpoints``   published weights of ViT and BEiT, into them; DenseNet121
``models``        networks that more than one notebook trains
``explain``       relevance maps of a trained network
``faithfulness``  measures that test whether a map may be believed
``exercises``     the checks of the notebooks' exercises
``plots``         one style, one colour per emotion; figures saved with their data
``scoring``       predictions -> tables of scores
``trust``         calibration, and limits beyond which no answer is given
``reliability``   predictions -> calibration, what silence buys, scores by gender and age; listeners
``cards``         claim cards: claimed, the same protocol, an unseen voice, why they differ
``findings``      sentences of README and report, numbers filled in
``predict``       a saved run -> the emotion of any recording, over time
``litert``        the same without TensorFlow
``audit``         leaks, looked for in what runs recorded
``figures``       tables of scores drawn and written
``measured``      what runs measured beyond predictions, drawn
``demo``          a page that hears you
``pages``         executed notebooks as a book
``runs``          the runs of report.yaml: planned, gathered, held against the code
``cli``           the ``serlib`` command
================  ======================================================================================
"""

__version__ = "0.1.0"
