// SPDX-License-Identifier: Apache-2.0

// Package claim keeps two processes from writing into one folder at once. It
// trusts the operating system: a claim ends with the process that has it,
// however that ends, and leaves nothing behind in the folder.
package claim

import (
	"errors"
	"fmt"
	"os"
)

// ErrTaken: another process, or another call in this one, has the folder.
var ErrTaken = errors.New("folder is in use")

// Folder claims a folder, which is made for its owner only when it is missing.
// Call release after use; the folder may be gone by then. Where the file
// system has no locks the folder is given to whoever asks. Errors are ErrTaken
// and those of the file system.
func Folder(dir string) (release func(), err error) {
	for range tries {
		var again bool
		if release, again, err = once(dir); !again {
			return release, err
		}
	}
	return nil, err
}

// tries is how often a folder is asked for that is removed again and again.
const tries = 100

// once makes, opens and locks a folder. again says that it was removed in
// between, as whoever has it does in the end.
func once(dir string) (release func(), again bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, errors.Is(err, os.ErrExist), err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, errors.Is(err, os.ErrNotExist), err
	}
	taken := lock(f)
	mine, err := f.Stat()
	named, errNamed := os.Stat(dir)
	switch {
	case taken:
		err = fmt.Errorf("%w: %s (hint: wait for the command that writes there, or choose another)", ErrTaken, dir)
	case err != nil:
	case errNamed != nil:
		again, err = errors.Is(errNamed, os.ErrNotExist), errNamed
	case !os.SameFile(mine, named):
		again, err = true, fmt.Errorf("%w: %s", ErrTaken, dir)
	default:
		return func() { _ = f.Close() }, false, nil
	}
	_ = f.Close() // nothing was written
	return nil, again, err
}
