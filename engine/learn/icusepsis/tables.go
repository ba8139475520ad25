// SPDX-License-Identifier: Apache-2.0

package icusepsis

// This file: reading the tables, gzipped CSV without heads.

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxLine is the most bytes of one line: 716 numbers of 24 characters.
const maxLine = 1 << 16

// rounding is how far a sum of probabilities may be from 1.
const rounding = 1e-6

// Read reads the tables of a folder. Errors wrap ErrTables, and fs.ErrNotExist
// where a file is missing.
func Read(dir string) (*Tables, error) {
	return read(os.DirFS(dir), dir)
}

func read(files fs.FS, dir string) (*Tables, error) {
	t := &Tables{next: make([][]arrival, 0, States*Actions)}
	tables := []struct {
		name          string
		rows, columns int
		row           func(i int, row []float64) error
	}{
		{"transitionFunction", States * Actions, States, t.transition},
		{"initialStateDistribution", 1, States, func(_ int, row []float64) error {
			t.start = append([]float64(nil), row...)
			for s := Died; s < States; s++ {
				if row[s] != 0 {
					return fmt.Errorf("stays begin in state %d, which is an end", s)
				}
			}
			return distribution(row)
		}},
		{"expertPolicy", States, Actions, func(s int, row []float64) error {
			t.expert = append(t.expert, append([]float64(nil), row...))
			if s >= Died {
				return nil // nobody acts at the end
			}
			return distribution(row)
		}},
		{"stateClusterCenters", States, Features, func(_ int, row []float64) error {
			out := make([]float32, Features)
			for j, v := range row {
				out[j] = float32(v)
			}
			t.centres = append(t.centres, out)
			return nil
		}},
		{"sofaScores", 1, States, func(_ int, row []float64) error {
			t.sofa = append([]float64(nil), row...)
			return nil
		}},
		{"rewardFunction", 1, States, func(_ int, row []float64) error {
			for s, r := range row {
				if want := float64(indicator(s == Survived)); r != want {
					return fmt.Errorf("the reward of state %d is %v, want %v", s, r, want)
				}
			}
			return nil
		}},
	}
	for _, table := range tables {
		name := table.name + ".csv.gz"
		if err := readTable(files, name, table.rows, table.columns, table.row); err != nil {
			return nil, fmt.Errorf("%w in %s: %s: %w (hint: the folder of the published tables, gzipped CSV)", ErrTables, filepath.Clean(dir), name, err)
		}
	}
	return t, nil
}

func indicator(ok bool) int {
	if ok {
		return 1
	}
	return 0
}

// transition takes one row of the transitions.
func (t *Tables) transition(i int, row []float64) error {
	if err := distribution(row); err != nil {
		return err
	}
	var some []arrival
	for to, p := range row {
		if p > 0 {
			some = append(some, arrival{int32(to), p})
		}
	}
	if s := i / Actions; s >= Died && (len(some) != 1 || some[0].to != End) {
		return fmt.Errorf("state %d does not lead to the end alone", s)
	} else if s < Died && row[End] > 0 {
		return fmt.Errorf("state %d ends neither in survival nor in death", s)
	}
	t.next = append(t.next, some)
	return nil
}

// distribution checks that a row is one.
func distribution(row []float64) error {
	sum := 0.0
	for i, p := range row {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("column %d: %v is no probability", i, p)
		}
		sum += p
	}
	if math.Abs(sum-1) > rounding {
		return fmt.Errorf("probabilities sum to %v", sum)
	}
	return nil
}

// readTable gives each row of one file to take, which must not keep it.
func readTable(files fs.FS, name string, rows, columns int, take func(i int, row []float64) error) error {
	f, err := files.Open(name)
	if err != nil {
		var path *fs.PathError // names the file again
		if errors.As(err, &path) {
			err = path.Err
		}
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("not gzip: %w", err)
	}
	defer z.Close()
	return parse(z, rows, columns, take)
}

// parse reads rows of numbers divided by commas.
func parse(r io.Reader, rows, columns int, take func(i int, row []float64) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	row, n := make([]float64, columns), 0
	for ; lines.Scan(); n++ {
		if n == rows {
			return fmt.Errorf("more than %d rows", rows)
		}
		at := 0
		for field := range strings.SplitSeq(lines.Text(), ",") {
			if at == columns {
				return fmt.Errorf("row %d: more than %d columns", n, columns)
			}
			v, err := strconv.ParseFloat(field, 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("row %d, column %d: not a finite number", n, at)
			}
			row[at] = v
			at++
		}
		if at != columns {
			return fmt.Errorf("row %d: %d columns, want %d", n, at, columns)
		}
		if err := take(n, row); err != nil {
			return fmt.Errorf("row %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("row %d: %w", n, err)
	}
	if n != rows {
		return fmt.Errorf("%d rows, want %d", n, rows)
	}
	return nil
}
