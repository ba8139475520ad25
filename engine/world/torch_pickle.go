// SPDX-License-Identifier: Apache-2.0

package world

// This file: a reader of the one kind of pickle that torch.save makes of a
// state dictionary: an ordered dictionary of names and tensors. A pickle is a
// program for a machine that can call anything by name; this reader runs none
// of it. It knows the few instructions such a dictionary needs, turns three
// named functions into plain data, and refuses every other instruction and name.
//
// Source: Lib/pickletools.py of CPython (instructions), torch/serialization.py
// (persistent ids), as documented formats.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrImport: the files cannot be imported: damaged, unsafe, or not the
// published model. The message says which file and what about it.
var ErrImport = errors.New("weights cannot be imported")

// Bounds of a pickle; the published ones are a hundred times smaller.
const (
	maxPickle      = 1 << 20
	maxPickleStack = 4096
	maxPickleMemo  = 1 << 16
)

// What a pickle may name. Storages of other element types are known only to
// say what is wrong with them.
const (
	pyOrderedDict  = "collections.OrderedDict"
	pyTensor       = "torch._utils._rebuild_tensor_v2"
	pyFloatStorage = "torch.FloatStorage"
)

var pyStorages = []string{"Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"}

// unpickler is the machine's state.
type unpickler struct {
	in    []byte
	at    int
	stack []any
	memo  map[uint32]any
}

// readStateDict reads the tensors of a state dictionary in their order.
func readStateDict(pickle []byte) ([]namedTensor, error) {
	if len(pickle) > maxPickle {
		return nil, fmt.Errorf("the pickle has %d bytes; at most %d are read", len(pickle), maxPickle)
	}
	u := &unpickler{in: pickle, memo: map[uint32]any{}}
	top, err := u.run()
	if err != nil {
		return nil, fmt.Errorf("pickle, byte %d: %w", u.at, err)
	}
	if u.at != len(pickle) {
		return nil, fmt.Errorf("pickle: %d bytes follow its end", len(pickle)-u.at)
	}
	dict, ok := top.(*pyDict)
	if !ok {
		return nil, fmt.Errorf("pickle: it holds %s; want a state dictionary (hint: torch.save(model.state_dict(), ...))", kindOf(top))
	}
	var out []namedTensor
	seen := map[string]bool{}
	for i, k := range dict.keys {
		name, ok := k.(string)
		if !ok {
			return nil, fmt.Errorf("pickle: a key is %s; want a name", kindOf(k))
		}
		if seen[name] {
			return nil, fmt.Errorf("pickle: %q is given twice", name)
		}
		seen[name] = true
		tensor, ok := dict.values[i].(*torchTensor)
		if !ok {
			return nil, fmt.Errorf("pickle: %q is %s; want a tensor", name, kindOf(dict.values[i]))
		}
		out = append(out, namedTensor{name, tensor})
	}
	return out, nil
}

var errTruncated = errors.New("it ends in the middle")

// take returns the next n bytes.
func (u *unpickler) take(n int) ([]byte, error) {
	if n < 0 || n > len(u.in)-u.at {
		return nil, errTruncated
	}
	b := u.in[u.at : u.at+n]
	u.at += n
	return b, nil
}

// number reads an unsigned little-endian number of n bytes.
func (u *unpickler) number(n int) (uint32, error) {
	b, err := u.take(n)
	if err != nil {
		return 0, err
	}
	var wide [4]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint32(wide[:]), nil
}

func (u *unpickler) push(v any) error {
	if len(u.stack) >= maxPickleStack {
		return fmt.Errorf("more than %d values at once", maxPickleStack)
	}
	u.stack = append(u.stack, v)
	return nil
}

func (u *unpickler) pop() (any, error) {
	if len(u.stack) == 0 {
		return nil, errors.New("a value is missing")
	}
	v := u.stack[len(u.stack)-1]
	if _, mark := v.(pyMark); mark {
		return nil, errors.New("a value is missing")
	}
	u.stack = u.stack[:len(u.stack)-1]
	return v, nil
}

// popMark returns the values above the newest mark and drops the mark.
func (u *unpickler) popMark() ([]any, error) {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if _, mark := u.stack[i].(pyMark); mark {
			items := append([]any(nil), u.stack[i+1:]...)
			u.stack = u.stack[:i]
			return items, nil
		}
	}
	return nil, errors.New("a mark is missing")
}

// run carries out instructions until the pickle says stop.
func (u *unpickler) run() (any, error) {
	for {
		op, err := u.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			top, err := u.pop()
			if err == nil && len(u.stack) > 0 {
				err = errors.New("values are left over")
			}
			return top, err
		}
		if err := u.do(op[0]); err != nil {
			return nil, err
		}
	}
}

// do carries out one instruction.
func (u *unpickler) do(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := u.number(1)
		if err == nil && v != 2 {
			err = fmt.Errorf("protocol %d; torch.save writes 2", v)
		}
		return err
	case '(': // MARK
		return u.push(pyMark{})
	case ')': // EMPTY_TUPLE
		return u.push(pyTuple{})
	case '}': // EMPTY_DICT
		return u.push(&pyDict{})
	case 'N': // NONE
		return u.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return u.push(op == 0x88)
	case 'K', 'M', 'J', 0x8a, 'X':
		return u.literal(op)
	case 'q', 'r', 'h', 'j':
		return u.remember(op)
	case 0x85, 0x86, 0x87, 't':
		return u.tuple(op)
	case 'c': // GLOBAL
		return u.global()
	case 'R': // REDUCE
		return u.reduce()
	case 'Q': // BINPERSID
		return u.storage()
	case 's', 'u', 'b':
		return u.fill(op)
	}
	return fmt.Errorf("instruction %#02x is not one a state dictionary needs: refused", op)
}

// literal reads a number or a text: BININT1, BININT2, BININT, LONG1, BINUNICODE.
func (u *unpickler) literal(op byte) error {
	switch op {
	case 'K', 'M':
		v, err := u.number(map[byte]int{'K': 1, 'M': 2}[op])
		if err != nil {
			return err
		}
		return u.push(int64(v))
	case 'J':
		v, err := u.number(4)
		if err != nil {
			return err
		}
		return u.push(int64(int32(v)))
	case 0x8a:
		n, err := u.number(1)
		if err != nil {
			return err
		}
		b, err := u.take(int(n))
		if err != nil {
			return err
		}
		if n > 8 || n > 0 && b[n-1]&0x80 != 0 {
			return errors.New("a number is negative or too large")
		}
		var wide [8]byte
		copy(wide[:], b)
		return u.push(int64(binary.LittleEndian.Uint64(wide[:])))
	default:
		n, err := u.number(4)
		if err != nil {
			return err
		}
		if n > 1024 {
			return fmt.Errorf("a text of %d bytes", n)
		}
		b, err := u.take(int(n))
		if err != nil {
			return err
		}
		return u.push(string(b))
	}
}

// remember stores to the memo or reads from it: BINPUT, LONG_BINPUT, BINGET,
// LONG_BINGET.
func (u *unpickler) remember(op byte) error {
	n := 1
	if op == 'r' || op == 'j' {
		n = 4
	}
	at, err := u.number(n)
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		v, ok := u.memo[at]
		if !ok {
			return fmt.Errorf("memo %d was never stored", at)
		}
		return u.push(v)
	}
	if len(u.memo) >= maxPickleMemo {
		return fmt.Errorf("more than %d values are remembered", maxPickleMemo)
	}
	v, err := u.pop()
	if err != nil {
		return err
	}
	u.memo[at] = v
	return u.push(v)
}

// tuple collects values: TUPLE1 to TUPLE3, TUPLE.
func (u *unpickler) tuple(op byte) error {
	if op == 't' {
		items, err := u.popMark()
		if err != nil {
			return err
		}
		return u.push(pyTuple(items))
	}
	items := make(pyTuple, op-0x84)
	for i := len(items) - 1; i >= 0; i-- {
		v, err := u.pop()
		if err != nil {
			return err
		}
		items[i] = v
	}
	return u.push(items)
}

// global reads a name and refuses what is not on the list.
func (u *unpickler) global() error {
	var parts [2]string
	for i := range parts {
		end := bytes.IndexByte(u.in[u.at:], '\n')
		if end < 0 || end > 256 {
			return errTruncated
		}
		parts[i] = string(u.in[u.at : u.at+end])
		u.at += end + 1
	}
	name := parts[0] + "." + parts[1]
	if name == pyOrderedDict || name == pyTensor {
		return u.push(pyGlobal(name))
	}
	for _, s := range pyStorages {
		if name == "torch."+s+"Storage" {
			return u.push(pyGlobal(name))
		}
	}
	return fmt.Errorf("it names %q, which a state dictionary does not need: refused, and nothing was run", name)
}

// fill puts entries into a dictionary (SETITEM, SETITEMS), or sets the
// attributes of one (BUILD), which for a state dictionary are versions of
// modules and are not kept.
func (u *unpickler) fill(op byte) error {
	var items []any
	var err error
	switch op {
	case 'u':
		items, err = u.popMark()
	case 's':
		items = make([]any, 2)
		if items[1], err = u.pop(); err == nil {
			items[0], err = u.pop()
		}
	default:
		_, err = u.pop()
	}
	if err != nil {
		return err
	}
	if len(items)%2 != 0 {
		return errors.New("a key without a value")
	}
	if len(u.stack) == 0 {
		return errors.New("a value is missing")
	}
	dict, ok := u.stack[len(u.stack)-1].(*pyDict)
	if !ok {
		return fmt.Errorf("entries for %s", kindOf(u.stack[len(u.stack)-1]))
	}
	for i := 0; i < len(items); i += 2 {
		dict.keys, dict.values = append(dict.keys, items[i]), append(dict.values, items[i+1])
	}
	return nil
}
