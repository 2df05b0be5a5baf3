// A server of the MongoDB protocol for tests: everything in memory, gone when it ends.
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;

public final class MongoStandIn {
  public static void main(String[] arguments) throws InterruptedException {
    if (arguments.length != 2) {
      System.err.println("usage: MongoStandIn HOST PORT");
      System.exit(2);
    }
    MongoServer server = new MongoServer(new MemoryBackend());
    server.bind(arguments[0], Integer.parseInt(arguments[1]));
    System.out.println("Listening on " + arguments[0] + ":" + arguments[1]);
    Thread.currentThread().join();
  }
}
