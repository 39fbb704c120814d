# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disposable Debian machine with a real kernel: build, start, run, reboot, save, restore, stop."""

from __future__ import annotations

import argparse
import sys

from oomlab import LabError, cache
from oomlab.image import Image
from oomlab.machine import Machine, names
from oomlab.recipe import ALIASES, DEFAULT, RECIPES, recipe_of


def build(args: argparse.Namespace) -> int:
    """Build the image, if it is not there yet."""
    image = Image(recipe_of(args.name))
    seconds = image.ensure()
    print(f'{image.recipe.name}: {"built in %.0f s" % seconds if seconds else "there already"}: {image.folder}')
    return 0


def start(args: argparse.Namespace) -> int:
    """Boot the machine, building its image first where needed."""
    machine = Machine(args.name, args.flavour)
    seconds = machine.start(args.memory, args.cpus, args.swap, args.append)
    print(
        f'{args.name} answers after {seconds:.0f} s: {machine.run("uname -r").stdout.strip()}, '
        f'{machine.settings()["accelerator"]}, loopback port {machine.settings()["port"]}'
    )
    return 0


def fresh(args: argparse.Namespace) -> int:
    """Have the machine as it was after its first boot: restored where it runs, else started."""
    machine = Machine(args.name, args.flavour)
    print(f'{args.name} is fresh after {machine.fresh(args.memory, args.cpus):.1f} s: {machine.folder}')
    return 0


def run(args: argparse.Namespace) -> int:
    """Run a command in the guest; its exit status is ours."""
    done = Machine(args.name).run(' '.join(args.command), check=False, user=args.user)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


def reboot(args: argparse.Namespace) -> int:
    """Reboot and wait."""
    print(f'{args.name} is back after {Machine(args.name).reboot():.0f} s')
    return 0


def save(args: argparse.Namespace) -> int:
    """Take a snapshot of memory and disk."""
    print(f'saved {args.tag} in {Machine(args.name).save(args.tag):.1f} s')
    return 0


def restore(args: argparse.Namespace) -> int:
    """Go back to a snapshot."""
    print(f'{args.name} answers from {args.tag} after {Machine(args.name).restore(args.tag):.1f} s')
    return 0


def stop(args: argparse.Namespace) -> int:
    """End the machine; nothing of it is left but the image in the cache."""
    for name in names() if args.name == 'all' else [args.name]:
        Machine(name).stop()
    return 0


def status(_args: argparse.Namespace) -> int:
    """List the machines that run and the images that are built."""
    for name in names():
        machine = Machine(name)
        print(f'{name}: {"running" if machine.running() else "dead"}, {machine.settings()}')
    for name, recipe in RECIPES.items():
        state = 'built' if Image(recipe).folder.exists() else 'not built'
        print(f'image {name} (kernel {recipe.kernel}, Python {recipe.python}): {state}')
    print(f'images are kept in {cache.folder()}')
    return 0


def inventory(args: argparse.Namespace) -> int:
    """Print a line for an Ansible inventory."""
    print(Machine(args.name).inventory())
    return 0


def console(args: argparse.Namespace) -> int:
    """Print what the guest wrote to its serial console."""
    sys.stdout.write((Machine(args.name).folder / 'console.log').read_text(encoding='utf-8', errors='replace'))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    machines = f'machine: {", ".join(RECIPES)} (or {", ".join(ALIASES)}), default {DEFAULT}'
    top = argparse.ArgumentParser(
        prog='lab',
        description=__doc__,
        epilog='Images are kept below OOMKIT_LAB_CACHE (default '
        '~/.cache/oomkit/lab). OOMKIT_INSTALL=0 forbids installing packages.',
    )
    commands = top.add_subparsers(required=True, metavar='COMMAND')
    for action in (build, start, fresh, run, reboot, save, restore, stop, status, inventory, console):
        sub = commands.add_parser(action.__name__, help=action.__doc__, description=action.__doc__)
        sub.set_defaults(action=action)
        if action is run:
            sub.add_argument('--user', default='root', help='root or tester')
            sub.add_argument('name', help=machines)
            sub.add_argument('command', nargs='+', help='what to run; put -- before it')
        elif action is not status:
            sub.add_argument('name', nargs='?', default=DEFAULT, help=machines)
        if action in (save, restore):
            sub.add_argument('tag', nargs='?', default='saved', help='name of the snapshot, default saved')
        if action in (start, fresh):
            sub.add_argument(
                '--flavour', help='image of a machine whose name is none, such as: lab start second --flavour trixie'
            )
            sub.add_argument('--memory', type=int, default=1024, help='MB, default 1024')
            sub.add_argument('--cpus', type=int, default=2, help='default 2')
        if action is start:
            sub.add_argument(
                '--swap', type=int, default=0, help='MB of an empty second disk /dev/vdb, for mkswap; default none'
            )
            sub.add_argument('--append', default='', help='more of the kernel command line')
    return top


def main() -> int:
    """Run the command; a problem is one line, not a traceback."""
    args = parser().parse_args()
    try:
        return args.action(args)
    except (LabError, KeyError) as error:
        print(f'lab: {error.args[0]}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
