# The command of fork in the campaign over the standard flow: chooser.sh FILE RUNS. The first line of the file says what
# becomes of it, as in chooser.py; RUNS is a directory that remembers how often it was tried.
read -r _ serial choice _ < "$1"
echo >> "$2/$serial"
[ "$choice" != never ] && [ "$(wc -l < "$2/$serial")" -gt "$choice" ] || exit 3
for part in 1 2; do
  echo "PLAIN $serial made by fork, part $part" > "$part"
  echo "FILEPATH: $part"
done
