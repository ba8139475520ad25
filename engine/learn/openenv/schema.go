// SPDX-License-Identifier: Apache-2.0

package openenv

// This file: what the server says of its own wire. The files are written by
// hand; tests hold every answer against them.

import _ "embed"

// schemas answers GET /schema.
//
//go:embed wire/schemas.json
var schemas []byte

// openapi answers GET /openapi.json. Its info.version is that of the OpenEnv
// HTTP profile, not of this program.
//
//go:embed wire/openapi.json
var openapi []byte
