"""Show models on a page in the browser: predictions, what tokens look at, attention, speed.

    mmsparseswin demo                                            # the quickstart's model, if it was trained here
    mmsparseswin demo CONFIG CHECKPOINT [CONFIG CHECKPOINT ...]  # yours; then open http://127.0.0.1:7860
    mmsparseswin demo best_coco_bbox_mAP_epoch_8.pth             # a checkpoint that carries its config

The page is for this machine only. --host serves it to others, and asks them for the user name `demo` and the password
in the environment variable MMSPARSESWIN_DEMO_PASSWORD. Nothing leaves this machine: no statistics, no fonts or scripts
of other hosts. Uploads are pictures and videos of at most 20 MiB, in a folder that is deleted at the end. Needs gradio.
"""

import argparse
import os
import signal
import sys

from mmsparseswin import cli
from mmsparseswin.errors import InputError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='*', metavar='CONFIG CHECKPOINT', help='models; default: the quickstart')
    parser.add_argument('--samples', help="folder of pictures to choose from; default: the model's test data")
    parser.add_argument('--device', default='auto', help='cpu, cuda:0, ...; default: a GPU if there is one')
    parser.add_argument(
        '--host', default='127.0.0.1', help='address to serve at; default: 127.0.0.1, this machine only'
    )
    parser.add_argument('--port', type=int, help='default: the first free one from 7860 on')
    return parser.parse_args()


def main() -> None:
    """Serve until Ctrl-C."""
    args = parse_args()
    if args.port is not None and not 0 < args.port < 65536:
        raise InputError(f'--port {args.port}: ports are 1 to 65535')
    from mmsparseswin.demo import serving
    from mmsparseswin.demo.chosen import chosen_models

    password = os.environ.get(serving.PASSWORD_VARIABLE)
    serving.check_address(args.host, password)
    chosen = chosen_models(args.models)
    from mmsparseswin.demo.models import Models  # with torch, once the command line is right

    models = Models(chosen, args.device)
    samples = serving.find_samples(models, args.samples)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the folder goes, too
    with serving.page_folder() as folder:
        blocks, address = serving.launch(models, samples, folder, args.host, args.port, password)
        print(f'{", ".join(models.names)}: open {address} (Ctrl-C ends it)', flush=True)
        blocks.block_thread()


if __name__ == '__main__':
    cli.run_tool(main)
