# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The profiles that TuneD may load when it starts.

Sources: tuned/daemon/daemon.py, tuned/utils/commands.py and profile_recommender.py, tuned/ppd/controller.py and
config.py, releases 2.20 to 2.28.
"""

import configparser
import re
from typing import Dict, List, Optional, Set

from .._host.conf_files import note_denied
from .._host.host import Host
from . import tuned_config
from .tuned_config import RefusedStart

_ACTIVE, _MODE, _POST_LOADED = ('/etc/tuned/active_profile', '/etc/tuned/profile_mode',
                                '/etc/tuned/post_loaded_profile')
_DEFAULT = 'balanced'
_NO_PROFILE = '/'  # for a file that makes TuneD exit
_RECOMMEND_CONF = '/etc/tuned/recommend.conf'
_RECOMMEND_FOLDERS = ('/usr/lib/tuned/recommend.d', '/etc/tuned/recommend.d')
_MOST_RECOMMENDED = 20
_PPD_CONF, _PPD_BASE = '/etc/tuned/ppd.conf', '/etc/tuned/ppd_base_profile'
_PPD_PROFILES = {'power-saver', 'balanced', 'performance'}


def startup_profiles(host: Host, denied: List[str], main: Dict[str, str], is_running: bool,
                     has_ppd: bool) -> List[List[str]]:
    """The possible lists of profiles, the most likely first. Raises RefusedStart.

    In automatic mode TuneD ignores its active profile, and chooses one by virt-what, running processes and others. A
    running TuneD has written its choice there. With ``has_ppd``, tuned-ppd starts later and switches to the profile in
    its own file.
    """
    active, mode, post_loaded = [tuned_config.read(host, path, denied).strip()
                                 for path in (_ACTIVE, _MODE, _POST_LOADED)]
    if mode not in ('', 'auto', 'manual') or len(post_loaded.split()) > 1:
        raise RefusedStart(_MODE)
    names = [active]
    if mode == 'auto' or not (mode or active):
        names = _choose_profiles(host, denied, main, active if is_running else None)
    names += _list_ppd_profiles(host, denied) if has_ppd else []
    return [name.split() + post_loaded.split() for name in dict.fromkeys(names)]


def _choose_profiles(host: Host, denied: List[str], main: Dict[str, str], running: Optional[str]) -> List[str]:
    """The profiles that TuneD may choose; ``running`` is the one that a running TuneD has chosen."""
    recommended = _recommended(host, denied, main)
    return [running] if running is not None and running in recommended else recommended


def _recommended(host: Host, denied: List[str], main: Dict[str, str]) -> List[str]:
    """The profiles that TuneD may recommend: those with conditions, up to the first without any."""
    found: List[str] = []
    if main.get('recommend_command') == '0':
        return [_DEFAULT]
    for path in _recommend_files(host, denied):
        try:
            sections = tuned_config.sections(tuned_config.read(host, path, denied))
        except RefusedStart:
            sections = None
        if sections is None:
            return found + [_NO_PROFILE]
        for section, conditions in sections.items():
            found.append(re.sub(',[^,]*$', '', section))
            if not conditions or len(found) >= _MOST_RECOMMENDED:
                return found
    return found + [_DEFAULT]


def _recommend_files(host: Host, denied: List[str]) -> List[str]:
    paths: Dict[str, str] = {}
    for folder in _RECOMMEND_FOLDERS:
        with note_denied(denied, folder):
            paths.update((name, f'{folder}/{name}') for name in host.names(folder))
    return [_RECOMMEND_CONF] + [paths[name] for name in sorted(paths)]


def _list_ppd_profiles(host: Host, denied: List[str]) -> List[str]:
    """The profiles that tuned-ppd may switch to, on mains and on battery. It exits if its file is wrong."""
    config = configparser.ConfigParser()
    try:
        config.read_string(tuned_config.read(host, _PPD_CONF, denied))
        on_mains = dict(config['profiles'])
        on_battery = dict(on_mains, **config['battery']) if 'battery' in config else on_mains
    except (configparser.Error, KeyError):
        return []
    if not _PPD_PROFILES.issubset(on_mains):
        return []
    base = tuned_config.read(host, _PPD_BASE, denied).strip()
    found: Set[str] = set()
    for names in (on_mains, on_battery):
        found.update([names[base]] if base in names else names.values())
    return sorted(found)
