"""Commands as they are typed, at the end of each `--help`; a test runs them (test_documents.py)."""

from __future__ import annotations

EXAMPLES = {
    "": """
        # from your images to a table, and to the runs in a browser
        ilsvrc init --source folder:flowers
        ilsvrc sweep flowers.yaml
        ilsvrc compare flowers --out flowers-table
        ilsvrc ui --open
    """,
    "models": """
        # those with resnet in their names
        ilsvrc models resnet
        # all, for a program
        ilsvrc models --json
    """,
    "describe": """
        # as published
        ilsvrc describe alexnet
        # for images and classes of your own, or with an option of the network
        ilsvrc describe resnet20_cifar 'input_shape=[64, 64, 3]' classes=5
        ilsvrc describe resnet20_cifar shortcut=B
    """,
    "init": """
        # networks and settings for these images, for an hour of this machine
        ilsvrc init --source folder:flowers --minutes 60
        # elsewhere, for images that a table names
        ilsvrc init work --source csv:labels.csv,folder=photos,suffix=.jpg
        # the shipped examples alone
        ilsvrc init
    """,
    "configs": """
        # names that train, sweep, search, nested and ensemble take
        ilsvrc configs
    """,
    "schema": """
        # beside the configs whose first line names it
        ilsvrc schema --out schema.json
    """,
    "train": """
        # one network, with some settings changed
        ilsvrc train quickstart model.name=lenet5 train.epochs=5
        # what it would do, every setting with its default
        ilsvrc train flowers.yaml --dry-run --all
        # as the paper trained, and how long that takes at a known rate
        ilsvrc train papers/resnet_imagenet data.source=folder:flowers --dry-run \\
            --images-per-second 1500
        # from weights that others trained
        ilsvrc train flowers.yaml model.name=resnet50 model.weights=imagenet
    """,
    "sweep": """
        # each run, its cost, the time of all
        ilsvrc sweep flowers.yaml --dry-run
        # two at a time; again after a stop, and it goes on
        ilsvrc sweep flowers.yaml launch.workers=2
        # other axes
        ilsvrc sweep flowers.yaml name=rates \\
            'sweep={train.optimizer.learning_rate: [0.1, 0.03], seed: [1, 2]}'
        # seeds until each row is beaten, or as good as the best
        ilsvrc sweep flowers.yaml 'sweep.until={margin: 0.5, at_most: 10}'
    """,
    "ensemble": """
        # five seeds averaged, against the best of them
        ilsvrc ensemble ensemble
        # the late epochs of one run
        ilsvrc ensemble ensemble name=late evaluate.ensemble.kind=checkpoints \\
            evaluate.ensemble.every=2
    """,
    "search": """
        # twelve candidates at random, over three folds
        ilsvrc search search-random data.source=folder:flowers
        # eight candidates more: it goes on where it ended
        ilsvrc search search-random data.source=folder:flowers search.trials=20
        # another strategy, another space
        ilsvrc search search-grid name=grid \\
            'search.space={train.optimizer.learning_rate: [0.01, 0.03, 0.1]}'
    """,
    "nested": """
        # what it would train
        ilsvrc nested nested --dry-run
        # the honest error of two networks on the same folds, compared
        ilsvrc nested nested data.source=folder:flowers name=a model.name=lenet5
        ilsvrc nested nested data.source=folder:flowers name=b model.name=mlp
        ilsvrc compare a b --level outer_fold
    """,
    "paper": """
        # papers, their tables, what each compares
        ilsvrc paper --list
        # a table in small, its order; what it would train
        ilsvrc paper resnet --table table-6 data.source=folder:flowers --dry-run
        # as published, three networks a cell
        ilsvrc paper resnet --table table-2 data.source=ilsvrc:imagenet \\
            --scale 1 --seeds 3
        # all that was run here, as a page
        ilsvrc paper --results results.md
    """,
    "status": """
        # all experiments of this folder
        ilsvrc status
        # one, for a program
        ilsvrc status quickstart --json
    """,
    "upload": """
        # what a server missed while it was away
        ilsvrc upload quickstart
        # all of it, to another store
        ilsvrc upload quickstart tracking.uri=sqlite:///other.db
    """,
    "compare": """
        # the table; and with it all pictures
        ilsvrc compare quickstart --out comparison
        # those with net in their names, the fastest first
        ilsvrc compare quickstart --where 'model.name=*net*' --sort latency_ms_p50
        # a row a network, with the rate that validation chose
        ilsvrc compare rates --best-of train.optimizer.learning_rate
        # nested runs, by their outer folds
        ilsvrc compare a b --level outer_fold
    """,
    "plan": """
        # seeds and images that settle a point of top-1, with the power curves
        ilsvrc plan quickstart --detect 1.0 --seed-sd 0.6 --out plan
        # before any run exists
        ilsvrc plan --detect 0.5 --seed-sd 0.6 --images 10000
    """,
    "report": """
        # one page that opens offline
        ilsvrc report quickstart --out report.html
        # a row a network, with the rate that validation chose
        ilsvrc report rates --best-of train.optimizer.learning_rate
    """,
    "ui": """
        # the newest experiment in the browser
        ilsvrc ui --open
        # another one, at a port that a tunnel knows
        ilsvrc ui --experiment quickstart --port 5000
        # as PNG, without a screen
        ilsvrc ui --experiment quickstart --pictures pictures
    """,
    "export": """
        # for TensorFlow, a folder
        ilsvrc export RUN_ID
        # for other runtimes, one file
        ilsvrc export RUN_ID --format onnx --out flowers.onnx
        ilsvrc export net.keras --format litert evaluate.class_names=names.txt
    """,
    "reproduce": """
        # the same again, on this machine
        ilsvrc reproduce RUN_ID
        # where the images lie elsewhere
        ilsvrc reproduce RUN_ID data.source=folder:flowers
    """,
    "register": """
        # flowers for Keras, flowers-served for `mlflow models serve`
        ilsvrc register RUN_ID flowers
    """,
    "evaluate": """
        # two runs on their own test images, with tables and pictures
        ilsvrc evaluate RUN_ID RUN_ID --out figures
        # ten crops an image
        ilsvrc evaluate RUN_ID evaluate.protocol=ten_crop
        # a network on other images; and on further sets of them
        ilsvrc evaluate net.keras data.source=folder:flowers \\
            evaluate.class_names=names.txt
        ilsvrc evaluate RUN_ID --sets SUMMER=summer WINTER=winter
    """,
    "predict": """
        # a picture, and a folder of them
        ilsvrc predict RUN_ID photo.jpg pictures/
        # where the network looked
        ilsvrc predict net.keras photo.jpg --explain cam
    """,
    "du": """
        # what the experiments of this folder take
        ilsvrc du
    """,
    "rm": """
        # what would go
        ilsvrc rm quickstart
        # all but the best run of each network
        ilsvrc rm quickstart --keep-best --yes
    """,
    "bench": """
        # speed of networks, of the input pipeline, of this tool
        ilsvrc bench infer 'bench.names=[lenet5, resnet20_cifar]'
        ilsvrc bench pipeline bench.images=photographs
        ilsvrc bench suite
    """,
    "bench suite": """
        # start-up and memory; with the time of the quickstart
        ilsvrc bench suite --quickstart
        # the same sweep on one worker and on two
        ilsvrc bench suite --scaling
    """,
    "bench pipeline": """
        # on images of your own
        ilsvrc bench pipeline bench.images=photographs bench.rounds=3
        # some rows alone
        ilsvrc bench pipeline bench.images=photographs 'bench.only=[ours]'
    """,
    "bench search": """
        # one part, smaller
        ilsvrc bench search overhead --trials 4
    """,
    "bench train": """
        # the rows also as runs, for `ilsvrc compare NAME --bench bench`
        ilsvrc bench train 'bench.names=[resnet50, vgg_a]' --log
        # plain Keras and PyTorch beside it
        ilsvrc bench train 'bench.names=[lenet5]' 'bench.peers=[keras, pytorch]'
    """,
    "bench infer": """
        # batch by batch, up to the largest that pays
        ilsvrc bench infer 'bench.names=[lenet5]' 'bench.batch_sizes=[1, 32, auto]'
        # in two precisions
        ilsvrc bench infer 'bench.names=[lenet5]' \\
            'bench.precisions=[float32, bfloat16]'
    """,
    "data": """
        # what is wrong with images, and how they look to the network
        ilsvrc data check folder:flowers
        ilsvrc data preview flowers.yaml
    """,
    "data check": """
        # bad files, copies, tiny images; all of them in a table
        ilsvrc data check folder:flowers --csv findings.csv
        # as much, decoded again
        ilsvrc data check folder:flowers --deep
    """,
    "data stats": """
        # mean and deviation of the training part
        ilsvrc data stats folder:flowers
        # of a thousand images of it
        ilsvrc data stats folder:flowers --limit 1000
    """,
    "data preview": """
        # a config's augmentation, three images
        ilsvrc data preview flowers.yaml --images 3 --out preview.png
        # a source with a preset
        ilsvrc data preview folder:flowers augment.preset=inception
    """,
    "data prepare": """
        # once; then data.source=prepared:flowers480
        ilsvrc data prepare folder:flowers --size 480 --out flowers480
        # pixels as they are: larger, and read faster
        ilsvrc data prepare folder:flowers --size 256 --format raw --out flowers256
    """,
}
"""By the words of the command."""


def epilog(command: str) -> str:
    """The examples of a command as the end of its help, its lines as they are (click's \\b)."""
    lines = [line.removeprefix("        ") for line in EXAMPLES[command].strip("\n").splitlines()]
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines if line.strip())])
