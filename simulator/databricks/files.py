"""The Files API: files and directories of volumes."""

import asyncio
import os
import tempfile
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

from .errors import ApiError, error_info, invalid_parameter
from .pages import page

_DOMAIN = "filesystem.databricks.com"
_MAX_FILE = 5 * 1024 ** 3
_BLOCK = 1 << 20


def _not_found(message, reason, **metadata):
    return ApiError(404, "NOT_FOUND", message, [error_info(reason, _DOMAIN, **metadata)])


class Place:
    """A path below /Volumes as asked for, and where it is kept."""

    def __init__(self, workspace, request, prefix, privilege):
        raw = request.rel_url.raw_path[len(prefix):]
        parts = [unquote(part) for part in raw.strip("/").split("/")]
        if len(parts) < 4 or parts[0] != "Volumes" or any(p in ("", ".", "..") or "/" in p or "\0" in p for p in parts):
            raise invalid_parameter(
                f"Invalid path: /{'/'.join(parts)}. It must be below /Volumes/<catalog>/<schema>/<volume>."
            )
        catalog, schema, volume = (part.lower() for part in parts[1:4])
        self.path = "/" + "/".join(parts)
        root = workspace.unity.volume(catalog, schema, volume)
        if root is None:
            raise _not_found(f"Volume '{catalog}.{schema}.{volume}' does not exist.", "FILES_API_RESOURCE_NOT_FOUND",
                             volume=f"{catalog}.{schema}.{volume}")
        if workspace.unity.lacks(privilege, f"{catalog}.{schema}.{volume}"):
            workspace.weather.met("permission_details")
            raise ApiError(
                403,
                "PERMISSION_DENIED",
                f"User does not have {privilege} on Volume '{catalog}.{schema}.{volume}'.",
                [
                    error_info(
                        "FILES_API_PERMISSION_DENIED",
                        _DOMAIN,
                        privilege=privilege,
                        securable_type="VOLUME",
                        securable_full_name=f"{catalog}.{schema}.{volume}",
                    )
                ],
            )
        self.root, self.local = root, root.joinpath(*parts[4:])

    def file(self):
        """The local file. Raises 404."""
        if not self.local.is_file():
            raise _not_found("The file being accessed is not found.", "FILES_API_FILE_NOT_FOUND", path=self.path)
        return self.local

    def directory(self):
        if not self.local.is_dir():
            raise _not_found(
                "The directory being accessed is not found.", "FILES_API_DIRECTORY_IS_NOT_FOUND", path=self.path
            )
        return self.local


def _headers(stat):
    return {
        "Content-Type": "application/octet-stream",
        "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        "Accept-Ranges": "bytes",
    }


def _check_unmodified(request, stat):
    wanted = request.headers.get("If-Unmodified-Since")
    if wanted and int(stat.st_mtime) > parsedate_to_datetime(wanted).timestamp():
        raise ApiError(412, "FAILED_PRECONDITION", "The file was modified since the given time.")


def _commit(temporary, place, overwrite):
    """Puts an uploaded file in its place. Raises 409 when one is there and must not be replaced."""
    if place.local == place.root or place.local.is_dir():
        raise ApiError(
            409,
            "ALREADY_EXISTS",
            f"A directory exists at {place.path}.",
            [error_info("FILES_API_DIRECTORY_EXISTS", _DOMAIN)],
        )
    try:
        place.local.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            os.replace(temporary, place.local)
        else:
            os.link(temporary, place.local)
    except FileExistsError:
        raise ApiError(409, "ALREADY_EXISTS", "The file being created already exists.",
                       [error_info("FILES_API_FILE_ALREADY_EXISTS", _DOMAIN, path=place.path)]) from None
    except NotADirectoryError:
        raise ApiError(409, "ALREADY_EXISTS", f"A file is in the way of {place.path}.",
                       [error_info("FILES_API_PATH_IS_NOT_A_DIRECTORY", _DOMAIN)]) from None


def routes(workspace):
    table = web.RouteTableDef()
    files, directories = "/api/2.0/fs/files", "/api/2.0/fs/directories"
    uploads = Path(workspace.data) / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)

    @table.put(files + "/{path:.*}")
    async def upload(request):
        place = Place(workspace, request, files, "WRITE VOLUME")
        overwrite = request.query.get("overwrite", "true").lower() != "false"
        handle, temporary = tempfile.mkstemp(dir=uploads)
        try:
            size = 0
            with os.fdopen(handle, "wb") as out:
                async for block in request.content.iter_chunked(_BLOCK):
                    size += len(block)
                    if size > _MAX_FILE:
                        raise ApiError(400, "BAD_REQUEST", "The file is larger than 5 GiB.")
                    out.write(block)
            os.chmod(temporary, 0o644)
            _commit(temporary, place, overwrite)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return web.Response(status=204)

    @table.get(files + "/{path:.*}", allow_head=False)
    async def download(request):
        path = Place(workspace, request, files, "READ VOLUME").file()
        stat = path.stat()
        _check_unmodified(request, stat)
        try:
            part = request.http_range
        except ValueError:
            raise ApiError(416, "OUT_OF_RANGE", "The Range header is malformed.") from None
        first, last, _ = part.indices(stat.st_size)
        partial = request.headers.get("Range") is not None
        if partial and first >= last:
            raise ApiError(416, "OUT_OF_RANGE", "The requested range is outside the file.")
        response = web.StreamResponse(status=206 if partial else 200, headers=_headers(stat))
        if partial:
            response.headers["Content-Range"] = f"bytes {first}-{last - 1}/{stat.st_size}"
        response.content_length = last - first
        await response.prepare(request)
        with open(path, "rb") as source:
            source.seek(first)
            while first < last:
                block = source.read(min(_BLOCK, last - first))
                first += len(block)
                await response.write(block)
        await response.write_eof()
        return response

    @table.head(files + "/{path:.*}")
    async def head(request):
        try:
            stat = Place(workspace, request, files, "READ VOLUME").file().stat()
            _check_unmodified(request, stat)
        except ApiError as error:
            return web.Response(status=error.status)
        return web.Response(headers={**_headers(stat), "Content-Length": str(stat.st_size)})

    @table.delete(files + "/{path:.*}")
    async def delete(request):
        Place(workspace, request, files, "WRITE VOLUME").file().unlink()
        return web.Response(status=204)

    @table.put(directories + "/{path:.*}")
    async def make_directory(request):
        place = Place(workspace, request, directories, "WRITE VOLUME")
        try:
            place.local.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ApiError(409, "ALREADY_EXISTS", f"A file exists at {place.path}.",
                           [error_info("FILES_API_PATH_IS_A_FILE", _DOMAIN)]) from None
        return web.Response(status=204)

    @table.head(directories + "/{path:.*}")
    async def head_directory(request):
        try:
            Place(workspace, request, directories, "READ VOLUME").directory()
        except ApiError as error:
            return web.Response(status=error.status)
        return web.Response()

    @table.get(directories + "/{path:.*}", allow_head=False)
    async def list_directory(request):
        place = Place(workspace, request, directories, "READ VOLUME")
        size = request.query.get("page_size", "1000")
        if not size.isdigit():
            raise invalid_parameter("page_size must be a number.")
        entries = sorted(os.scandir(place.directory()), key=lambda e: e.name)
        found, token = page(
            workspace,
            [(e.name, e) for e in entries],
            min(int(size) or 1000, 1000),
            request.query.get("page_token", ""),
            request["number"],
        )
        out = {"contents": [_entry(place.path.rstrip("/"), entry) for entry in found]}
        if token is not None:
            out["next_page_token"] = token
        return web.json_response(out)

    @table.delete(directories + "/{path:.*}")
    async def delete_directory(request):
        place = Place(workspace, request, directories, "WRITE VOLUME")
        local = place.directory()
        if local == place.root:
            raise invalid_parameter("The root of a volume cannot be deleted.")
        try:
            await asyncio.to_thread(os.rmdir, local)
        except OSError:
            raise ApiError(400, "BAD_REQUEST", "The directory being deleted is not empty.",
                           [error_info("FILES_API_DIRECTORY_IS_NOT_EMPTY", _DOMAIN, path=place.path)]) from None
        return web.Response(status=204)

    return table


def _entry(parent, entry):
    stat = entry.stat()
    out = {"name": entry.name, "path": f"{parent}/{entry.name}", "is_directory": entry.is_dir(),
           "last_modified": int(stat.st_mtime * 1000)}
    if not entry.is_dir():
        out["file_size"] = stat.st_size
    return out
