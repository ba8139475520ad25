// SPDX-License-Identifier: Apache-2.0

package learn

// This file: baselines in a model folder. SHA256SUMS names both of their files,
// and the record names the world model whose encoding they read.

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// sumsFile is the list of hashes of a model folder.
const sumsFile = "SHA256SUMS"

func sumLine(name string, data []byte) string {
	return fmt.Sprintf("%x  %s\n", sha256.Sum256(data), name)
}

// OpenBaselines reads the baselines of a model folder for the world model in it.
// There are none, without an error, where the folder holds none. The error wraps
// ErrBaseline.
func OpenBaselines(fsys fs.FS, dir string, encoder agent.Encoder) ([]*offline.Fitted, error) {
	content := map[string][]byte{}
	for _, name := range []string{sumsFile, offline.WeightsFile, offline.RecordFile} {
		data, err := fs.ReadFile(fsys, path.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", ErrBaseline, err)
		}
		content[name] = data
	}
	sums := "\n" + string(content[sumsFile])
	weights, record := content[offline.WeightsFile], content[offline.RecordFile]
	if weights == nil && record == nil && !strings.Contains(sums, "  "+offline.WeightsFile+"\n") {
		return nil, nil
	}
	for _, name := range []string{offline.WeightsFile, offline.RecordFile} {
		if !strings.Contains(sums, "\n"+sumLine(name, content[name])) {
			return nil, fmt.Errorf("%w: %s is gone or does not have the SHA-256 that %s names (hint: `train baselines` writes it; copy the folder again)", ErrBaseline, name, sumsFile)
		}
	}
	bound, fitted, err := offline.Decode(weights, record)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBaseline, err)
	}
	if own := encoder.Info().Hash; bound != own {
		return nil, fmt.Errorf("%w: they were fitted for world model %.12s, not for %.12s (hint: `train baselines` fits them anew)", ErrBaseline, bound, own)
	}
	for _, f := range fitted {
		if f.Inputs != world.InputSize || f.Actions != Actions || f.States != 0 {
			return nil, fmt.Errorf("%w: %s reads %d inputs and decides among %d actions; this build encodes %d for %d", ErrBaseline, f.Method, f.Inputs, f.Actions, world.InputSize, Actions)
		}
	}
	return fitted, nil
}

// WriteBaselines stores baselines in a model folder and names their files in its
// SHA256SUMS, which comes last. Each file is complete or absent.
func WriteBaselines(dir string, fitted []*offline.Fitted, encoder agent.Encoder) error {
	weights, record, err := offline.Encode(encoder.Info().Hash, fitted)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBaseline, err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, sumsFile))
	if err != nil {
		return fmt.Errorf("%w: the folder holds no model: %w", ErrBaseline, err)
	}
	var lines bytes.Buffer
	for line := range strings.Lines(string(sums)) {
		if !strings.HasSuffix(line, "  "+offline.WeightsFile+"\n") && !strings.HasSuffix(line, "  "+offline.RecordFile+"\n") {
			lines.WriteString(line)
		}
	}
	lines.WriteString(sumLine(offline.WeightsFile, weights) + sumLine(offline.RecordFile, record))
	for _, f := range []struct {
		name string
		data []byte
	}{{offline.WeightsFile, weights}, {offline.RecordFile, record}, {sumsFile, lines.Bytes()}} {
		name := filepath.Join(dir, f.name)
		if err := os.WriteFile(name+".part", f.data, 0o644); err != nil {
			return fmt.Errorf("%w: %w", ErrBaseline, err)
		}
		if err := os.Rename(name+".part", name); err != nil {
			return fmt.Errorf("%w: %w", ErrBaseline, err)
		}
	}
	return nil
}
