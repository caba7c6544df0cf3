"""A model hub in this process: the part of the protocol that huggingface_hub speaks to download and to commit."""

import base64
import hashlib
import http.server
import json
import re
import threading
from dataclasses import dataclass, field


@dataclass
class Repo:
    """Commits of one repository, newest last: (commit hash, name -> content)."""

    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    private: bool = False

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if not self.commits:
            return ('0' * 40, {}) if revision == 'main' else None
        if revision == 'main':
            return self.commits[-1]
        return next((commit for commit in self.commits if commit[0] == revision), None)


class Hub:
    """The server; `repos` is its content, `log` every request as 'METHOD path'."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.log: list[str] = []
        self.gated: set[str] = set()
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), type('Handler', (_Handler,), {'hub': self}))
        self.server, self.url = server, f'http://127.0.0.1:{server.server_address[1]}'
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def add(self, repo: str, files: dict[str, bytes]) -> str:
        """Commit `files` beside those that are there."""
        found = self.repos.setdefault(repo, Repo())
        old = found.commits[-1][1] if found.commits else {}
        commit = hashlib.sha1(f'{repo} {len(found.commits)}'.encode()).hexdigest()
        found.commits.append((commit, {**old, **files}))
        return commit

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args) -> None:
        pass

    def do_HEAD(self) -> None:
        self._get(with_body=False)

    def do_GET(self) -> None:
        self._get(with_body=True)

    def _get(self, with_body: bool) -> None:
        path = self._start()
        if match := re.fullmatch(r'/cdn/([0-9a-f]{64})', path):
            return self._send(200, self.hub.blobs[match[1]], {}, with_body)
        if match := re.fullmatch(r'/api/models/([^/]+/[^/]+)(?:/revision/(.+))?', path):
            repo = self.hub.repos.get(match[1])
            found = repo and repo.files(match[2] or 'main')
            if not found:
                return self._refuse(404, 'RepoNotFound')
            return self._json({'id': match[1], 'modelId': match[1], 'sha': found[0], 'siblings': [], 'tags': []})
        match = re.fullmatch(r'/([^/]+/[^/]+)/resolve/([^/]+)/(.+)', path)
        repo = self.hub.repos.get(match[1]) if match else None
        if match is None or repo is None:
            return self._refuse(404, 'RepoNotFound')
        if match[1] in self.hub.gated:
            return self._refuse(403, 'GatedRepo')
        found = repo.files(match[2])
        if found is None:
            return self._refuse(404, 'RevisionNotFound')
        commit, files = found
        if match[3] not in files:
            return self._refuse(404, 'EntryNotFound', {'X-Repo-Commit': commit})
        content = files[match[3]]
        if not _is_large(match[3]):
            etag = hashlib.sha1(content).hexdigest()
            return self._send(200, content, {'ETag': f'"{etag}"', 'X-Repo-Commit': commit}, with_body)
        digest = hashlib.sha256(content).hexdigest()
        self.hub.blobs[digest] = content
        linked = {'X-Linked-Etag': f'"{digest}"', 'X-Linked-Size': str(len(content)), 'X-Repo-Commit': commit}
        return self._send(302, b'', {**linked, 'Location': f'{self.hub.url}/cdn/{digest}'}, with_body)

    def do_PUT(self) -> None:
        digest = self._start().rsplit('/', 1)[1]
        content = self._body()
        if hashlib.sha256(content).hexdigest() != digest:
            return self._refuse(400, 'BadContent')
        self.hub.blobs[digest] = content
        return self._json({})

    def do_POST(self) -> None:
        path, body = self._start(), self._body()
        if path == '/api/validate-yaml':
            return self._json({'errors': [], 'warnings': []})
        if self.headers.get('Authorization') != 'Bearer hf_good':
            return self._refuse(401, '')
        if path == '/api/repos/create':
            asked = json.loads(body)
            name = f'{asked["organization"]}/{asked["name"]}'
            known = name in self.hub.repos
            self.hub.repos.setdefault(name, Repo(private=asked.get('private', False)))
            return self._json({'url': f'{self.hub.url}/{name}'}, 409 if known else 200)
        if match := re.fullmatch(r'/(.+)\.git/info/lfs/objects/batch', path):
            objects = [
                {**one, 'actions': {'upload': {'href': f'{self.hub.url}/put/{one["oid"]}'}}}
                for one in json.loads(body)['objects']
            ]
            return self._json({'transfer': 'basic', 'objects': objects})
        match = re.fullmatch(r'/api/models/([^/]+/[^/]+)/(preupload|commit)/([^/]+)', path)
        if match is None or match[1] not in self.hub.repos:
            return self._refuse(404, 'RepoNotFound')
        if match[2] == 'preupload':
            modes = [
                {'path': f['path'], 'uploadMode': 'lfs' if _is_large(f['path']) else 'regular', 'shouldIgnore': False}
                for f in json.loads(body)['files']
            ]
            return self._json({'files': modes})
        files = {}
        for line in map(json.loads, body.splitlines()):
            if line['key'] == 'file':
                files[line['value']['path']] = base64.b64decode(line['value']['content'])
            elif line['key'] == 'lfsFile':
                files[line['value']['path']] = self.hub.blobs[line['value']['oid']]
        commit = self.hub.add(match[1], files)
        return self._json({'commitUrl': f'{self.hub.url}/{match[1]}/commit/{commit}', 'commitOid': commit})

    def _start(self) -> str:
        self.hub.log.append(f'{self.command} {self.path}')
        return self.path.split('?')[0]

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get('Content-Length') or 0))

    def _json(self, content: dict, code: int = 200) -> None:
        self._send(code, json.dumps(content).encode(), {'Content-Type': 'application/json'}, True)

    def _refuse(self, code: int, word: str, headers: dict[str, str] | None = None) -> None:
        self._send(code, b'', {'X-Error-Code': word, **(headers or {})}, True)

    def _send(self, code: int, content: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(code)
        for name, value in {**headers, 'Content-Length': str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body and self.command != 'HEAD':
            self.wfile.write(content)


def _is_large(name: str) -> bool:
    return name.endswith(('.safetensors', '.pth', '.bin'))
