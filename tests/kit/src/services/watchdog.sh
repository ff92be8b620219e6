# Ends a server when its owner is gone, and removes the server's folder.
#
# $1 is the folder. Standard input is a pipe whose other end only the owner holds:
#   group N   the server's process group, told before the server is let go
#   none      nothing is running
#   done      the owner has cleaned up by itself
# The end of input without `done` means that the owner has ended, in whatever way.
trap '' HUP INT QUIT TERM
folder=$1
group=
while read -r verb value; do
    case $verb in
        group) group=$value ;;
        none) group= ;;
        done) exit 0 ;;
    esac
done
if [ -n "$group" ]; then
    kill -s KILL -- "-$group"
    tries=50
    while [ "$tries" -gt 0 ] && kill -s 0 -- "-$group"; do
        sleep 0.1
        tries=$((tries - 1))
    done
fi
case $folder in
    */sluicegate-*) rm -rf -- "$folder" ;;
esac
